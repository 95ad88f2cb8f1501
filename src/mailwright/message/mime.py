"""Content-Type, Content-Disposition and their parameters, as RFC 2045 and 2231 say and as they come."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from mailwright.message import charset
from mailwright.message.header import decode_header, unfold

Params = tuple[tuple[str, str], ...]
Section = tuple[int, bool, str]  # of a continued value: its number, whether it is extended, its text

MAX_PARAMS: Final = 100
_PAREN: Final = 40
_TOKEN: Final = rb"([!#-'*+.0-9A-Z^-~-]++)"
_TYPE: Final = re.compile(_TOKEN + rb"[ \t]*+(?:/[ \t]*+" + _TOKEN + rb"?)?")
_PARAM: Final = re.compile(
    rb";[ \t\r\n;]*+([^\s=;\"]++)[ \t]*+=[ \t]*+(?:\"((?:[^\"\\]|\\.)*+)(?:\"|\Z)|([^;\"]*+))", re.DOTALL
)
_QUOTED: Final = re.compile(rb"\\(.)", re.DOTALL)
_COMMENT: Final = re.compile(rb"\"(?:[^\"\\]|\\.)*+\"|\((?:[^()\\]|\\.)*+\)", re.DOTALL)
_NEAR: Final = 200  # octets of a value without quotes
_IN_VALUE: Final = re.compile(rb"=[ \t]*+[^\s;=\"()][^;=\"]*+\Z")
_GOES_ON: Final = re.compile(rb"(?:[ \t]*+\([^()]*+\))*+[ \t]*+[^\s;(]")
_SECTION: Final = re.compile(r"^([^*]+)(?:\*(\d{1,4}))?(\*)?$")
_ENCODINGS: Final = {
    "8-bit": "8bit", "7-bit": "7bit", "8bits": "8bit", "7bits": "7bit", "base-64": "base64", "base_64": "base64",
    "quoted_printable": "quoted-printable", "quotedprintable": "quoted-printable", "x-uue": "x-uuencode",
    "uuencode": "x-uuencode", "x-uu": "x-uuencode",
}  # fmt: skip


def parse_content_type(raw: bytes) -> tuple[str, str, Params]:
    """Type, subtype (lower-case) and parameters; ("", "", ()) when it is none (RFC 2045 5.2 then means text/plain)."""
    return _content_type(raw) if len(raw) <= 120 else _content_type_of(raw)


def parse_disposition(raw: bytes) -> tuple[str, Params]:
    """The disposition (lower-case; "" when there is none) and its parameters (RFC 2183)."""
    raw = _without_comments(unfold(raw))
    head, _, rest = raw.partition(b";")
    token = head.split()
    params = _params(b";" + rest)
    if not token:
        return ("attachment", params) if params else ("", ())
    return _text(token[0]).lower(), params


def _content_type_of(raw: bytes) -> tuple[str, str, Params]:
    raw = _without_comments(unfold(raw))
    match = _TYPE.match(raw)
    if match is None:
        return "", "", ()
    kind = match.group(1).decode("latin-1").lower()
    subtype = (match.group(2) or b"").decode("latin-1").lower()
    if not subtype:
        if kind != "text":  # "Content-Type: text" is old and means what it seems to
            return "", "", ()
        subtype = "plain"
    rest = raw[match.end() :].lstrip()
    if not rest:
        return kind, subtype, ()
    return (
        kind,
        subtype,
        _params(rest if rest[:1] == b";" else b";" + rest),
    )  # the first ";" is often forgotten


_content_type = lru_cache(maxsize=512)(_content_type_of)


@lru_cache(maxsize=64)
def parse_encoding(raw: bytes) -> str:
    """A Content-Transfer-Encoding in lower case, with its usual misspellings put right."""
    words = _without_comments(unfold(raw)).replace(b";", b" ").replace(b'"', b" ").split()
    if not words:
        return "7bit"
    word = words[0].decode("latin-1").lower()
    if len(words) > 1 and words[1].lower() in (b"bit", b"printable"):
        word = word + ("bit" if words[1].lower() == b"bit" else "-printable")
    if len(word) > 64 or not word.isascii() or not word.isprintable():
        return "x-unknown"
    return _ENCODINGS.get(word, word)


def _without_comments(raw: bytes) -> bytes:
    return _COMMENT.sub(_without_comment, raw) if _PAREN in raw else raw


def _without_comment(found: re.Match[bytes]) -> bytes:
    """A space for a comment; `(1)` in `filename=report (1).pdf`, which lacks its quotes, is none and stays."""
    text, start, stop = found.string, found.start(), found.end()
    if text[start] == _PAREN:
        inside = _IN_VALUE.search(text, max(0, start - _NEAR), start)
        if not (inside and _GOES_ON.match(text, stop, stop + _NEAR)):
            return b" "
    return found.group()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _params(raw: bytes) -> Params:
    found: list[tuple[str, str]] = []
    for match in _PARAM.finditer(raw):
        name, quoted, plain = match.groups()
        value = plain.strip() if quoted is None else _QUOTED.sub(rb"\1", quoted)
        found.append((_text(name).lower(), _text(value)))
        if len(found) == MAX_PARAMS:
            break
    return tuple(found)


def decode_params(raw: Params) -> dict[str, str]:
    """Parameters by name with RFC 2231 continuations joined and charsets decoded; the first of two wins."""
    plain: dict[str, str] = {}
    sections: dict[str, list[Section]] = {}
    for name, value in raw:
        match = _SECTION.match(name) if "*" in name else None
        if match is None:
            plain.setdefault(name, decode_value(value))
        else:
            sections.setdefault(match.group(1), []).append(_section(match, value))
    for name, parts in sections.items():  # extended wins over plain (RFC 6266 4.3 has it the same)
        plain[name] = _join_sections(parts)
    return plain


def join_params(raw: Params) -> Params:
    """Parameters with their continuations joined, as `name` or, when one has a charset, as `name*` in UTF-8.

    IMAP clients need not do it themselves (RFC 2231 6), and some do not.
    """
    whole: list[tuple[str, str]] = []
    sections: dict[str, list[Section]] = {}
    for name, value in raw:
        match = _SECTION.match(name) if "*" in name else None
        if match is None or match.group(2) is None:
            whole.append((name, value))
        else:
            sections.setdefault(match.group(1), []).append(_section(match, value))
    for name, parts in sections.items():
        if any(extended for _, extended, _ in parts):
            whole.append((name + "*", extend_value(_join_sections(parts))))
        else:
            whole.append((name, "".join([value for _, _, value in sorted(parts)])))
    return tuple(whole)


def extend_value(text: str) -> str:
    """The value of `name*` (RFC 2231 4)."""
    return "utf-8''" + quote(text, safe="")


def _section(match: re.Match[str], value: str) -> Section:
    return int(match.group(2) or 0), match.group(3) is not None, value


def _join_sections(parts: list[Section]) -> str:
    parts.sort(key=lambda part: part[0])
    named = ""
    octets: list[bytes] = []
    for index, (_, extended, value) in enumerate(parts):
        if extended:
            if index == 0 and value.count("'") >= 2:
                named, _, value = value.split("'", 2)
            octets.append(unquote_to_bytes(value.encode("utf-8", "surrogateescape")))
        else:
            octets.append(value.encode("utf-8", "surrogateescape"))
    text = b"".join(octets)
    if not named and b"=?" in text:
        return decode_header(text)
    return charset.decode(text, named)


def decode_value(value: str) -> str:
    """A parameter's value for a person: encoded-words (which RFC 2047 5 forbids here) and raw 8-bit text decoded."""
    if value.isascii() and "=?" not in value:
        return value
    return decode_header(value.encode("utf-8", "surrogateescape"))
