"""Reverse-paths and forward-paths (RFC 5321 4.1.2, RFC 6531 3.3)."""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import Final, NamedTuple

from mailwright.base.domain import InvalidDomain, to_ascii
from mailwright.smtp import replies
from mailwright.smtp.replies import Reply

MAX_PATH: Final = 256  # octets with the angle brackets, RFC 5321 4.5.3.1.3
# The path's alone. RFC 5321 4.5.3.1.1 says 64, and 4.5.3.1 to impose no limit where one can: the reverse-paths of
# lists (VERP) and of forwarders (SRS) outgrow it every day.
MAX_LOCAL: Final = MAX_PATH - 2
MAX_DOMAIN: Final = 255  # RFC 5321 4.5.3.1.2

_ATEXT: Final = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_LABEL: Final = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}+(?<!-)"
_SIMPLE: Final = re.compile(rf" ?<([{_ATEXT}.]{{1,{MAX_LOCAL}}}+)@({_LABEL}(?:\.{_LABEL})*)>(?: |$)")
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_BRACKETED: Final = re.compile(r'<((?:"(?:[^"\\]|\\.)*"|[^"<>])*)>')
_UNBRACKETED: Final = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^"<> ])+')
_ROUTE: Final = re.compile(r"(?:@[^@,:]*,?)+:")
_QUOTED: Final = re.compile(r'"((?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*)"')
# atext and all that is not ASCII (RFC 6531 3.3), as what is left out: large classes take long to compile.
_LOCAL: Final = re.compile(r'[^\x00-\x20"(),:;<>@\[\\\]\x7f]+')
_ATOM: Final = r'[^\x00-\x20"(),.:;<>@\[\\\]\x7f]+'
_DOT_STRING: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_ESCAPED: Final = re.compile(r"\\(.)")
_SPECIAL: Final = re.compile(r'(["\\])')


class PathFault(ValueError):
    """A path that cannot be taken; `reply` says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.lines[0])
        self.reply = reply


class Path(NamedTuple):
    """A mailbox as the envelope names it.

    `local` is without quotes and as sent; `domain` is lower-case A-labels or an address literal
    (`[192.0.2.1]`, `[IPv6:2001:db8::1]`). Both empty is the null reverse-path `<>`; an empty domain alone is
    `<postmaster>`.
    """

    local: str
    domain: str

    def __str__(self) -> str:
        """The address without angle brackets, the local part quoted where RFC 5321 4.1.2 asks for it."""
        return _as_text(self.local, self.domain)

    @property
    def is_null(self) -> bool:
        return not self.local and not self.domain

    @property
    def needs_utf8(self) -> bool:
        """It can only be sent to a server that offers SMTPUTF8."""
        return not self.local.isascii()


@functools.lru_cache(maxsize=1000)
def _as_text(local: str, domain: str) -> str:
    if local and _DOT_STRING.fullmatch(local) is None:
        local = '"' + _SPECIAL.sub(r"\\\1", local) + '"'
    return f"{local}@{domain}" if domain else local


NULL_PATH: Final = Path("", "")


def parse_path(text: str, sender: bool) -> tuple[Path, str]:
    """The path at the beginning of `text` (after the colon), and the text after it without its first space.

    As lenient as Postfix: a space after the colon, no angle brackets, dots anywhere in the local part; source
    routes are dropped (RFC 5321 C). Raises PathFault.
    """
    match = _SIMPLE.match(text)
    if match is not None:
        local, domain = match[1], match[2]
        if len(domain) <= MAX_DOMAIN and len(local) + len(domain) < MAX_LOCAL:
            return Path(local, domain.lower()), text[match.end() :]
    text = text.lstrip(" ")
    match = (_BRACKETED if text.startswith("<") else _UNBRACKETED).match(text)
    if match is None:
        raise PathFault(replies.MAIL_SYNTAX if sender else replies.RCPT_SYNTAX)
    rest = text[match.end() :]
    if rest and not rest.startswith(" "):
        raise PathFault(replies.MAIL_SYNTAX if sender else replies.RCPT_SYNTAX)
    inner = match[1] if text.startswith("<") else match[0]
    return _parse_inner(inner.strip(" "), sender), rest[1:]


def parse_mailbox(text: str, sender: bool = False) -> Path:
    """`local@domain`, not in brackets. Raises PathFault."""
    if len(text.encode(errors="replace")) > MAX_PATH - 2:
        raise PathFault(replies.PATH_TOO_LONG)
    match = _QUOTED.match(text)
    if match is not None:
        local, rest = _ESCAPED.sub(r"\1", match[1]), text[match.end() :]
        at, domain = rest[:1], rest[1:]
    else:
        local, at, domain = text.rpartition("@")
        if _LOCAL.fullmatch(local) is None:
            raise PathFault(
                replies.bad_mailbox(
                    sender, "The part before the @ is missing or holds characters that must be quoted"
                )
            )
    if not at or not local:
        raise PathFault(replies.bad_mailbox(sender, "The address needs the form user@example.org"))
    return Path(local, parse_domain(domain, sender))


def _parse_inner(inner: str, sender: bool) -> Path:
    if not inner:
        if sender:
            return NULL_PATH
        raise PathFault(replies.bad_mailbox(sender, "A recipient cannot be empty"))
    if len(inner) > MAX_PATH:
        raise PathFault(replies.PATH_TOO_LONG)
    if inner.startswith("@"):
        route = _ROUTE.match(inner)
        if route is None:
            raise PathFault(replies.bad_mailbox(sender, "The source route is malformed; leave it out"))
        inner = inner[route.end() :]
    if not sender and inner.lower() == "postmaster":
        return Path(inner, "")
    if "@" not in inner:
        raise PathFault(replies.bad_mailbox(sender, "The address needs a domain: user@example.org"))
    return parse_mailbox(inner, sender)


def parse_domain(text: str, sender: bool) -> str:
    """A domain or an address literal in its normal form. Raises PathFault."""
    if len(text) > MAX_DOMAIN:
        raise PathFault(replies.PATH_TOO_LONG)
    if text.startswith("["):
        literal = parse_literal(text)
        if literal is not None:
            return literal
        raise PathFault(
            replies.bad_mailbox(
                sender, "The address literal is malformed; write [192.0.2.1] or [IPv6:2001:db8::1]"
            )
        )
    try:
        domain = to_ascii(text) if not text.isascii() else text.rstrip(".").lower()
    except InvalidDomain:
        domain = ""
    if _DOMAIN.fullmatch(domain) is None:
        raise PathFault(replies.bad_mailbox(sender, "The part after the @ is not a domain name"))
    return domain


def parse_literal(text: str) -> str | None:
    """An address literal in its normal form, None when it is malformed (RFC 5321 4.1.3)."""
    if not text.endswith("]"):
        return None
    inner = text[1:-1]
    try:
        if inner[:5].lower() == "ipv6:":
            return f"[IPv6:{ipaddress.IPv6Address(inner[5:]).compressed}]" if "%" not in inner else None
        return f"[{ipaddress.IPv4Address(inner)}]"
    except ValueError:
        return None
