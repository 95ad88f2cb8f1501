"""Mailbox names between text and the wire: modified UTF-7 (RFC 3501 5.1.3)."""

from __future__ import annotations

import re
from binascii import Error, a2b_base64, b2a_base64
from typing import Final

_SHIFTED: Final = re.compile(rb"&([A-Za-z0-9+,]*)-")
_DIRECT: Final = re.compile(r"[\x20-\x25\x27-\x7e]+")
MAX_NAME: Final = 1000  # octets of a whole name


class InvalidName(ValueError):
    """Octets that are no mailbox name; the message says why."""


def decode_name(wire: bytes, utf8: bool = False) -> str:
    """The text of a mailbox name in modified UTF-7 or, as RFC 9051 clients send it, in UTF-8; with `utf8` only that.

    Raises InvalidName for wrong or superfluous encoding (`&AGE-` for `a`), so that no two names look alike.
    """
    if b"&" not in wire and wire.isascii():
        return _checked(wire.decode("ascii"))
    try:
        if utf8 or not wire.isascii():
            return _checked(wire.decode("utf-8"))
        return _checked(_decode_utf7(wire))
    except (UnicodeDecodeError, Error):
        raise InvalidName("The mailbox name is neither modified UTF-7 nor UTF-8") from None


def _decode_utf7(wire: bytes) -> str:
    found = []
    pos = 0
    after_shift = -1
    while True:
        ampersand = wire.find(b"&", pos)
        if ampersand < 0:
            found.append(wire[pos:].decode("ascii"))
            return "".join(found)
        found.append(wire[pos:ampersand].decode("ascii"))
        shifted = _SHIFTED.match(wire, ampersand)
        if shifted is None:
            raise InvalidName("The mailbox name has an '&' that starts no modified UTF-7; write it as '&-'")
        coded = shifted.group(1)
        if coded and after_shift == ampersand:
            raise InvalidName("The mailbox name has needless shifts in its modified UTF-7")
        found.append(_decode_shifted(coded) if coded else "&")
        pos = shifted.end()
        after_shift = pos if coded else -1


def _decode_shifted(coded: bytes) -> str:
    octets = a2b_base64(coded.replace(b",", b"/") + b"=" * (-len(coded) % 4))
    text = octets.decode("utf-16-be")
    if _encode_shifted(text) != b"&" + coded + b"-" or _DIRECT.search(text) or "&" in text:
        raise InvalidName("The mailbox name has needless or wrong modified UTF-7")
    return text


def _checked(name: str) -> str:
    if not name.isprintable() and any(ord(char) < 32 or 127 <= ord(char) < 160 for char in name):
        raise InvalidName("A mailbox name may not hold control characters")
    if len(name) > MAX_NAME:
        raise InvalidName(f"A mailbox name has at most {MAX_NAME} characters")
    return name


def encode_name(name: str) -> bytes:
    """The name in modified UTF-7."""
    if name.isascii() and "&" not in name and name.isprintable():
        return name.encode("ascii")
    parts: list[bytes] = []
    pos = 0
    while pos < len(name):
        direct = _DIRECT.match(name, pos)
        if direct is not None:
            parts.append(direct.group().encode("ascii"))
            pos = direct.end()
        elif name[pos] == "&":
            parts.append(b"&-")
            pos += 1
        else:
            end = pos
            while end < len(name) and not (name[end] == "&" or _DIRECT.match(name, end)):
                end += 1
            parts.append(_encode_shifted(name[pos:end]))
            pos = end
    return b"".join(parts)


def _encode_shifted(text: str) -> bytes:
    coded = b2a_base64(text.encode("utf-16-be", "replace"), newline=False)
    return b"&" + coded.rstrip(b"=").replace(b"/", b",") + b"-"
