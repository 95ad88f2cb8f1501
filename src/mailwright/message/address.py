"""Addresses in header fields (RFC 5322 3.4 with 4.4, RFC 6532) as they come, and mailboxes of SMTP (RFC 5321 4.1.2)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from mailwright.message.header import decode_header, unfold

# (name, route, local part, domain) without quoting. A group begins with (b"", b"", its name, None) and ends with
# (b"", b"", None, None), as in ENVELOPE (RFC 9051 7.5.2).
RawAddress = tuple[bytes, bytes, bytes | None, bytes | None]

_SIMPLE: Final = re.compile(
    rb"[ \t]*+(?:(?:\"([^\"\\]*+)\"|([^\"<>()@,:;\\\[]*+))[ \t]*+<([^\s\"<>()@,:;\\\[]++)@([^\s\"<>()@,:;\\\[]++)>"
    rb"|([^\s\"<>()@,:;\\\[]++)@([^\s\"<>()@,:;\\\[]++))[ \t]*+(,|\Z)"
)
_TOKEN: Final = re.compile(
    rb"[ \t\r\n]++"
    rb"|\"(?:[^\"\\]|\\.)*+\"?"
    rb"|=\?[^?\s]{1,80}\?[bBqQ]\?[^?\s]{0,998}\?="
    rb"|\[[^\[\]<>,\"\s]*+\]?"
    rb"|[()<>@,:;]"
    rb"|[^\s\"()<>@,:;\[]++"
    rb"|.",
    re.DOTALL,
)
_PAREN: Final = re.compile(rb"[()\\]")
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)
_SPACES: Final = re.compile(rb"[ \t\r\n]+")
_BACKSLASH: Final = 92
_SHORT: Final = 256  # octets of a field that is worth remembering
_GROUP_END: Final[RawAddress] = (b"", b"", None, None)


class Address(NamedTuple):
    """A mailbox for people: all three decoded; `domain` is "" when the field has none."""

    name: str
    local: str
    domain: str

    @property
    def addr_spec(self) -> str:
        return f"{self.local}@{self.domain}" if self.domain else self.local


def parse_addresses(raw: bytes) -> list[Address]:
    """The mailboxes of an address field, those in groups too. Never raises; linear time."""
    return [
        Address(decode_header(name) if name else "", decode_word(local), decode_word(domain))
        for name, _, local, domain in parse_raw(raw)
        if domain is not None and local is not None
    ]


def parse_raw(raw: bytes) -> list[RawAddress]:
    """The addresses of a field, groups marked, encoded-words as they are. Never raises; linear time."""
    raw = unfold(raw)
    return list(_cached(raw)) if len(raw) <= _SHORT else _read(raw)


def _read(raw: bytes) -> list[RawAddress]:
    found: list[RawAddress] = []
    at, size = 0, len(raw)
    while at < size:
        match = _SIMPLE.match(raw, at)
        if match is None:
            reader = _Reader(raw, at, found)
            reader.read()
            break
        quoted, phrase, local, domain, bare_local, bare_domain, _ = match.groups()
        if local is not None:
            name = quoted if quoted is not None else phrase.rstrip()
            found.append((name, b"", local, domain))
        else:
            found.append((b"", b"", bare_local, bare_domain))
        at = match.end()
    return found


@lru_cache(
    maxsize=512
)  # ENVELOPE and addresses are asked for the same fields, and many messages share theirs
def _cached(raw: bytes) -> tuple[RawAddress, ...]:
    return tuple(_read(raw))


def decode_word(raw: bytes) -> str:
    """The text of a local part or domain."""
    if raw.isascii() and raw.find(b"=?") < 0:
        return raw.decode("ascii")
    return decode_header(raw)


def _unescape(raw: bytes) -> bytes:
    return _ESCAPED.sub(rb"\1", raw) if _BACKSLASH in raw else raw


class _Reader:
    """Reads what is not simple: comments, groups, routes, quoted local parts and all that is malformed."""

    def __init__(self, raw: bytes, at: int, found: list[RawAddress]) -> None:
        self.raw: bytes = raw
        self.at: int = at
        self.found: list[RawAddress] = found
        self.words: list[bytes] = []  # of the phrase or the bare address, b" " between those apart
        self.comment: bytes = b""
        self.host: int = -1  # index in `words` of the last "@" outside quotes
        self.in_group: bool = False
        self.done: bool = False  # an angle address closed this mailbox

    def read(self) -> None:
        while self.at < len(self.raw):
            token = self.token()
            first = token[0]
            if first == 44:  # ,
                self.finish()
            elif first == 60:  # <
                self.angle()
            elif first == 58 and self.host < 0 and not self.in_group:  # :
                self.group()
            elif first == 59:  # ;
                self.finish()
                if self.in_group:
                    self.found.append(_GROUP_END)
                    self.in_group = False
            elif first == 40:  # (
                self.comment = self.skip_comment()
            elif first in b" \t\r\n":
                if self.words and self.words[-1] != b" ":
                    self.words.append(b" ")
            elif first not in b">)":
                if first == 64:  # @
                    self.host = len(self.words)
                self.words.append(token)
        self.finish()
        if self.in_group:
            self.found.append(_GROUP_END)

    def token(self) -> bytes:
        match = _TOKEN.match(self.raw, self.at)
        assert match is not None  # the last alternative takes any octet
        self.at = match.end()
        return match.group()

    def skip_comment(self) -> bytes:
        """The text of the comment that has just been opened; an unclosed one goes to the end."""
        start, depth = self.at, 1
        while depth:
            match = _PAREN.search(self.raw, self.at)
            if match is None:
                self.at = len(self.raw)
                return _unescape(self.raw[start:]).strip()
            self.at = match.end()
            char = match.group()
            if char == b"(":
                depth += 1
            elif char == b")":
                depth -= 1
            else:
                self.at += 1
        return _unescape(self.raw[start : self.at - 1]).strip()

    def group(self) -> None:
        self.found.append((b"", b"", _phrase(self.words), None))
        self.in_group = True
        self.reset()

    def reset(self) -> None:
        self.words = []
        self.comment = b""
        self.host = -1
        self.done = False

    def angle(self) -> None:
        """`<route:local@domain>`, closed by ">", the next comma, or the end of its group."""
        words: list[bytes] = []
        route, host, closed = b"", -1, False
        while self.at < len(self.raw):
            token = self.token()
            first = token[0]
            if first == 62:  # >
                closed = True
                break
            if first == 44 and not (
                words and words[0] == b"@" and self.raw[self.at : self.at + 8].lstrip()[:1] == b"@"
            ):
                break
            if first == 59 and self.in_group:
                self.at -= 1
                break
            if first == 58 and words and words[0] == b"@":
                route, words, host = b"".join(words), [], -1
            elif first == 40:
                self.skip_comment()
            elif first not in b" \t\r\n<":
                if first == 64:
                    host = len(words)
                words.append(token)
        name = _phrase(self.words) or self.comment
        if words or name:
            self.found.append((name, route, *_split(words, host)))
        self.reset()
        self.done = closed

    def finish(self) -> None:
        """What stands before a comma or the end without an angle address."""
        words, host = self.words, self.host
        while words and words[-1] == b" ":
            words.pop()
        if words and not self.done:
            name = _phrase(words) or self.comment
            if host >= 0:
                self.bare(words, host)
            elif self.comment and len(words) == 1 and words[0][:1] != b'"' and words[0][:2] != b"=?":
                self.found.append((self.comment, b"", words[0], b""))  # `root (Cron Daemon)`
            elif name:
                self.found.append((name, b"", b"", b""))
        self.reset()

    def bare(self, words: list[bytes], host: int) -> None:
        """`local @ domain`, perhaps with a name before it or behind it."""
        start = host
        while start > 0 and (words[start - 1] != b" " or _joins_before(words, start, host)):
            start -= 1
        end = host + 1
        while end < len(words) and (words[end] != b" " or _joins_behind(words, end, host)):
            end += 1
        name = _phrase(words[:start]) or _phrase(words[end:]) or self.comment
        spec = [word for word in words[start:end] if word != b" "]
        self.found.append((name, b"", *_split(spec, len(spec) - 1 - spec[::-1].index(b"@"))))


def _joins_before(words: list[bytes], at: int, host: int) -> bool:
    """Whether the space at `at - 1` stands within a local part, around "." or before "@" (RFC 5322 4.4)."""
    return at == host or words[at][:1] == b"." or (at > 1 and words[at - 2] == b".")


def _joins_behind(words: list[bytes], at: int, host: int) -> bool:
    """Whether the space at `at` stands within a domain, around "." or behind "@" (RFC 5322 4.4)."""
    if at == host + 1 or words[at - 1][-1:] == b".":
        return True
    return at + 1 < len(words) and words[at + 1][:1] == b"."


def _split(words: list[bytes], host: int) -> tuple[bytes, bytes]:
    if host < 0:
        return _local(words), b""
    return _local(words[:host]), b"".join(words[host + 1 :])


def _local(words: list[bytes]) -> bytes:
    return b"".join([_unquote(word) for word in words])


def _unquote(word: bytes) -> bytes:
    if word[0] != 34:
        return word
    return _unescape(word[1:-1] if len(word) > 1 and word[-1] == 34 else word[1:])


def _phrase(words: list[bytes]) -> bytes:
    return _SPACES.sub(b" ", b"".join([_unquote(word) for word in words])).strip()


_ATEXT: Final = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
# These too have all that is not ASCII: large classes take long to compile.
_UATEXT: Final = r'[^\x00-\x20"(),.:;<>@\[\\\]\x7f]+'
_ULABEL: Final = r"[^\x00-,./:-@\[-`{-\x7f]+"
_LOCAL: Final = re.compile(rf'{_ATEXT}(?:\.{_ATEXT})*|"(?:[ !#-\[\]-~]|\\[ -~])*"')
_ULOCAL: Final = re.compile(rf'{_UATEXT}(?:\.{_UATEXT})*|"(?:[^\x00-\x1f"\\\x7f]|\\[ -~])*"')
_DOMAIN: Final = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
_UDOMAIN: Final = re.compile(rf"{_ULABEL}(?:\.{_ULABEL})*")
_V4: Final = re.compile(r"\[(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\]")
_V6: Final = re.compile(r"\[IPv6:[0-9A-Fa-f:.]{2,45}\]", re.IGNORECASE)
_GENERAL: Final = re.compile(r"\[[A-Za-z0-9-]*[A-Za-z0-9]:[!-Z^-~]{1,200}\]")


class InvalidMailbox(ValueError):
    """A text that is no Mailbox of RFC 5321 4.1.2; the message says why."""


def parse_mailbox(text: str, *, utf8: bool = False) -> tuple[str, str]:
    """The local part (as written, with its quotes) and the domain of an SMTP Mailbox.

    Strict RFC 5321 4.1.2 with its limits of 64 and 255 octets (4.5.3.1); characters beyond ASCII only with `utf8`
    (RFC 6531 3.3). Address literals are allowed. Raises InvalidMailbox.
    """
    cut = text.rfind("@") if not text.endswith("]") else text.rfind("@[")
    if cut < 0:
        raise InvalidMailbox("an address needs a local part, @ and a domain")
    local, domain = text[:cut], text[cut + 1 :]
    if not text.isascii() and not utf8:
        raise InvalidMailbox("the address is not ASCII; it needs SMTPUTF8")
    if len(local.encode("utf-8", "replace")) > 64:
        raise InvalidMailbox("the local part is longer than 64 octets")
    if len(domain.encode("utf-8", "replace")) > 255:
        raise InvalidMailbox("the domain is longer than 255 octets")
    if (_ULOCAL if utf8 else _LOCAL).fullmatch(local) is None:
        raise InvalidMailbox("the local part is malformed; characters such as spaces need quotes")
    if not (_is_literal(domain) if domain[:1] == "[" else _is_domain(domain)):
        raise InvalidMailbox("the domain is malformed")
    return local, domain


def _is_domain(domain: str) -> bool:
    if domain.isascii():
        return _DOMAIN.fullmatch(domain) is not None
    if _UDOMAIN.fullmatch(domain) is None:
        return False
    return all(label[0] != "-" and label[-1] != "-" for label in domain.split("."))


def _is_literal(domain: str) -> bool:
    match = _V4.fullmatch(domain)
    if match is not None:
        return all(int(octet) <= 255 for octet in match.groups())
    if domain[:6].lower() == "[ipv6:":
        return _V6.fullmatch(domain) is not None and _is_ipv6(domain[6:-1])
    return _GENERAL.fullmatch(domain) is not None


def _is_ipv6(text: str) -> bool:
    head, double, tail = text.partition("::")
    if "::" in tail or ":::" in text:
        return False
    groups = [group for side in (head, tail) if side for group in side.split(":")]
    count = len(groups)
    for index, group in enumerate(groups):
        if "." in group:
            if index != len(groups) - 1 or _V4.fullmatch(f"[{group}]") is None:
                return False
            if not all(int(octet) <= 255 for octet in group.split(".")):
                return False
            count += 1
        elif not 1 <= len(group) <= 4:
            return False
    return count <= 7 if double else count == 8
