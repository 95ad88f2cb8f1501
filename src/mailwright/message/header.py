"""Header fields: where they are, what they say (RFC 5322 2.2, RFC 2047), and how to write them."""

from __future__ import annotations

import binascii
import re
from typing import Final, NamedTuple

from mailwright.message import charset

LF: Final = 10  # `LF in octets` is ten times as quick as `b"\n" in octets`
_NAME: Final = rb"[!-9;-~]++"
NO_NAME: Final = 58  # a colon
# Makes a field's name lower-case, and a colon of what no name holds.
AS_NAME: Final = bytes([octet if 32 < octet < 127 else NO_NAME for octet in bytes(range(256)).lower()])
_VALUE: Final = rb".*+(?:\n[ \t].*+)*+"
# One field with its folded lines, or else a line that is none. Possessive: linear whatever comes.
_FIELD: Final = re.compile(
    rb"^(?:(" + _NAME + rb")[ \t]*+:[ \t]*+(" + _VALUE + rb")|(.*+))(?:\n|\Z)", re.MULTILINE
)
_WORD: Final = re.compile(rb"=\?([^?\s]{1,80})\?([bBqQ])\?(.*?)\?=", re.DOTALL)
_HEX: Final = re.compile(rb"=([0-9A-Fa-f]{2})")
_CONTROLS: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f]+")
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
NOT_BASE64: Final = bytes([octet for octet in range(256) if octet not in _BASE64])


class HeaderField(NamedTuple):
    """One field. Offsets are octets in the source; the value ends before the line end."""

    name: bytes  # lower-case
    raw_name: bytes
    start: int
    value_start: int
    value_end: int
    end: int  # after the line end


def iterate_fields(block: bytes, offset: int = 0) -> list[HeaderField]:
    """The fields of a header block that stands at `offset` in its source. Lines that are no fields are left out."""
    fields: list[HeaderField] = []
    for match in _FIELD.finditer(block):
        name = match.group(1)
        if name is None:
            continue
        start, end = match.span(2)
        if end > start and block[end - 1] == 13:
            end -= 1
        fields.append(
            HeaderField(
                name.lower(), name, offset + match.start(), offset + start, offset + end, offset + match.end()
            )
        )
    return fields


def unfold(raw: bytes) -> bytes:
    """A field's value on one line, without white space around it (RFC 5322 2.2.3)."""
    if LF in raw:
        raw = raw.replace(b"\r\n", b"").replace(b"\n", b"")
    return raw.strip()


def decode_header(raw: bytes) -> str:
    """The text a person reads: unfolded, encoded-words decoded, raw 8-bit text guessed. Never raises.

    Lenient as the world needs it: words glued together or within quotes, characters split across words, bad
    padding, unknown charsets (RFC 2047 6.2, 6.3).
    """
    raw = unfold(raw)
    text = _decode_words(raw) if raw.find(b"=?") >= 0 else _plain(raw)
    if text.isprintable():
        return text
    return _CONTROLS.sub(" ", text).strip()


def _decode_words(raw: bytes) -> str:
    last = raw.rfind(b"?=")  # beyond it no word ends: keeps the search linear
    pieces: list[str] = []
    pending = b""
    pending_charset = ""
    at = 0
    for match in _WORD.finditer(raw, 0, last + 2 if last >= 0 else 0):
        between = raw[at : match.start()]
        name = (
            match.group(1).partition(b"*")[0].decode("latin-1").lower()
        )  # RFC 2231 5: a language may follow
        if between.strip() or (not pending_charset and between):
            if pending_charset:
                pieces.append(charset.decode(pending, pending_charset))
                pending, pending_charset = b"", ""
            pieces.append(_plain(between))
        elif pending_charset and name != pending_charset:
            pieces.append(charset.decode(pending, pending_charset))
            pending = b""
        pending_charset = name
        pending += _word_octets(match.group(2), match.group(3))
        at = match.end()
    if pending_charset:
        pieces.append(charset.decode(pending, pending_charset))
    pieces.append(_plain(raw[at:]))
    return "".join(pieces)


def _plain(raw: bytes) -> str:
    return raw.decode("ascii") if raw.isascii() else charset.guess(raw)


def _word_octets(encoding: bytes, text: bytes) -> bytes:
    if encoding in b"qQ":
        text = text.replace(b"_", b" ")
        return _HEX.sub(lambda found: bytes((int(found.group(1), 16),)), text) if b"=" in text else text
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        return base64_octets(text)


def base64_octets(text: bytes) -> bytes:
    """Base64 with anything odd in it: foreign characters, padding in the middle or missing."""
    octets: list[bytes] = []
    for run in text.translate(None, NOT_BASE64).split(b"="):
        if len(run) % 4 == 1:  # six bits say nothing
            run = run[:-1]
        if run:
            octets.append(binascii.a2b_base64(run + b"=" * (-len(run) % 4)))
    return b"".join(octets)


def encoded_words(text: str, first: int = 0) -> list[str]:
    """`text` as UTF-8 encoded-words of at most 75 characters (RFC 2047 2); the first one shorter by `first`."""
    words: list[str] = []
    chunk = b""
    room = 45 - (first * 3 + 3) // 4 if first < 50 else 6
    for char in text:
        octets = char.encode("utf-8", "replace")
        if chunk and len(chunk) + len(octets) > room:
            words.append(_word(chunk))
            chunk, room = b"", 45
        chunk += octets
    if chunk:
        words.append(_word(chunk))
    return words


def _word(octets: bytes) -> str:
    return "=?utf-8?B?" + binascii.b2a_base64(octets, newline=False).decode("ascii") + "?="


def encode_header(name: str, text: str) -> bytes:
    """An unstructured field `Name: text` with CRLF, ASCII only, folded at 78 characters (RFC 5322 2.1.1).

    Line ends and control characters in `text` become spaces, so that no field can be smuggled in.
    """
    text = _CONTROLS.sub(" ", text).strip()
    if not text.isascii() or "=?" in text or max(map(len, text.split(" "))) > 900:
        words = encoded_words(text, len(name) + 2)
    else:
        words = text.split(" ")
    return fold_words(name, words)


def fold_words(name: str, words: list[str], *, utf8: bool = False) -> bytes:
    """A field of words that are joined by spaces, folded before the word that would pass column 78.

    Characters beyond ASCII become `?`, unless it may be in UTF-8 (RFC 6532).
    """
    lines: list[str] = []
    line = name + ":"
    for word in words:
        if len(line) + 1 + len(word) > 78 and line.strip() and word and line != name + ":":
            lines.append(line)
            line = ""
        line += " " + word
    lines.append(line)
    return "\r\n".join(lines).encode("utf-8" if utf8 else "ascii", "replace") + b"\r\n"
