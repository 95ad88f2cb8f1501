"""What a part holds: the transfer encoding taken off, the charset decoded."""

from __future__ import annotations

import binascii
import mmap
import re
from contextlib import suppress
from html import unescape
from typing import Final

from selectolax.lexbor import LexborHTMLParser

from mailwright.message import charset
from mailwright.message.header import base64_octets
from mailwright.message.part import Part

HTML_LIMIT: Final = 1024 * 1024  # characters of HTML whose text is read

_PADDING: Final = re.compile(rb"(?<![ \t])[ \t]++(?=\r?(?:\n|\Z))")
# Whether there is such, found quickly, as it begins with a line end.
_PADDED: Final = re.compile(rb"\n(?:(?<=[ \t]\n)|(?<=[ \t]\r\n))")
_UU_BEGIN: Final = re.compile(rb"^begin(?:-base64)? [0-7]{3,4} [^\n]*\n", re.MULTILINE)
# It cannot be UTF-16 where it can be read, whatever it says.
_META: Final = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?(?!utf-?16|unicode)([A-Za-z0-9_:.-]+)", re.IGNORECASE
)
_BREAKS: Final = re.compile(
    r"<(?=/?(?:[bB][rR]|[pP]|[pP][rR][eE]|[dD][iI][vV]|[dD][dDlLtT]|[tT][rRdDhH]|[uUoO][lL]|[lL][iI]|[hH][1-6rR]|[tT]able|TABLE"
    r"|blockquote|center|section|article|header|footer|address|option)[\s/>])"
)
# A soft line break, but of the line that begins a signature; and lines that are quoted, which stay as they are.
_FLOWED: Final = re.compile(r"(^>.*\n)|(?<!^--) \r?\n(?!>|-- \r?$) ?", re.MULTILINE)
_TAG: Final = re.compile(r"<[^<>]*>")
_TAG_NAME: Final = re.compile(r"<(/?)([a-zA-Z]+[0-9]?)")
_VOID: Final = frozenset(("br", "img", "hr", "input", "meta", "link", "area", "base", "col", "source", "wbr"))
_MANY_TAGS: Final = 2000
_DEEP: Final = 500


class UnknownEncoding(ValueError):
    """A Content-Transfer-Encoding that nobody knows: the octets cannot be decoded (RFC 3516: UNKNOWN-CTE)."""


def decoded_part(part: Part, source: bytes | mmap.mmap) -> bytes:
    """The part's content without its transfer encoding; a multipart or message as it is. Raises UnknownEncoding.

    Tolerates what is broken within base64, quoted-printable and uuencode.
    """
    return decode_octets(source[part.body_start : part.end], part.encoding)


def decode_octets(raw: bytes, encoding: str) -> bytes:
    """`raw` without the transfer encoding. Raises UnknownEncoding."""
    if encoding in ("7bit", "8bit", "binary", ""):
        return raw
    if encoding == "quoted-printable":
        return decode_quoted(raw)
    if encoding == "base64":
        return _base64(raw)
    if encoding == "x-uuencode":
        return _uudecode(raw)
    raise UnknownEncoding(f"the transfer encoding {encoding!r} is unknown")


def decode_quoted(raw: bytes) -> bytes:
    """`raw` without quoted-printable; white space at the end of a line was put there on the way (RFC 2045 6.7 (3))."""
    if _PADDED.search(raw + b"\n") is not None:
        raw = _PADDING.sub(b"", raw)
    return binascii.a2b_qp(raw)


def _base64(raw: bytes) -> bytes:
    padding = raw.find(b"=")
    if padding >= 0 and raw[padding:].strip(b"= \t\r\n"):
        return base64_octets(raw)  # pieces that were encoded apart, or rubbish behind the end
    try:
        return binascii.a2b_base64(raw)
    except binascii.Error:
        return base64_octets(raw)


def _uudecode(raw: bytes) -> bytes:
    begin = _UU_BEGIN.search(raw)
    if begin is None:
        return raw
    octets: list[bytes] = []
    for line in raw[begin.end() :].split(b"\n"):
        line = line.rstrip(b"\r")
        if line == b"end":
            break
        if not line:
            continue
        try:
            octets.append(binascii.a2b_uu(line))
        except binascii.Error:
            size = (((line[0] - 32) & 63) * 4 + 5) // 3  # some encoders append a checksum
            try:
                octets.append(binascii.a2b_uu(line[:size]))
            except binascii.Error:
                break
    return b"".join(octets)


def part_text(part: Part, source: bytes | mmap.mmap, limit: int) -> str:
    """The text of a text part, of at most `limit` octets of its encoded body; HTML as it is. Never raises.

    Lines that were broken where no space is are whole again (RFC 3676 4.1, DelSp): mostly Chinese and Japanese.
    """
    raw = source[part.body_start : min(part.end, part.body_start + limit)]
    with suppress(UnknownEncoding):
        raw = decode_octets(raw, part.encoding)
    declared = part.charset
    if not declared and part.subtype == "html":
        match = _META.search(raw, 0, 2048)
        if match is not None:
            declared = match.group(1).decode("ascii")
    text = charset.decode(raw, declared)
    return _FLOWED.sub(r"\1", text) if ("delsp", "yes") in part.raw_params else text


def html_to_text(html: str) -> str:
    """What a reader of the HTML sees, lines apart where blocks are. Never raises."""
    html = _BREAKS.sub("\n<", html[:HTML_LIMIT])
    if html.count("<") > _MANY_TAGS and _nests_deeply(
        html
    ):  # a parser's work grows with the square of the depth
        return unescape(_TAG.sub(" ", html))
    try:
        tree = LexborHTMLParser(html)
        tree.strip_tags(["script", "style", "head", "title", "noscript", "template"])
        root = tree.body or tree.root
        return root.text(separator="") if root is not None else ""
    except (ValueError, RuntimeError, RecursionError, UnicodeError):
        return ""


def _nests_deeply(html: str) -> bool:
    depth = 0
    for closing, name in _TAG_NAME.findall(html):
        if closing:
            depth -= 1 if depth else 0
        elif name not in _VOID and name.lower() not in _VOID:
            depth += 1
            if depth > _DEEP:
                return True
    return False
