"""Responses on the wire: base64, `*` cancels, `=` is empty (RFC 4954 4, RFC 9051 6.2.2)."""

from __future__ import annotations

import binascii
from typing import Final

MAX_RESPONSE: Final = 12_288  # octets of base64, RFC 4954 4


class InvalidResponse(ValueError):
    """The client's line is no base64; the message says why."""


class Cancelled(Exception):
    """The client sent `*`."""


def decode_response(line: bytes) -> bytes:
    """The octets of a client's response line (without its CRLF). Raises InvalidResponse or Cancelled."""
    if line == b"*":
        raise Cancelled
    if len(line) > MAX_RESPONSE:
        raise InvalidResponse("the response is too long")
    try:
        return decode(line)
    except ValueError:
        raise InvalidResponse("the response is not valid base64") from None


def decode_initial_response(argument: bytes) -> bytes:
    """The initial response of an AUTH command, where `=` stands for an empty one."""
    return b"" if argument == b"=" else decode_response(argument)


def decode(data: bytes) -> bytes:
    """Strict base64: raises ValueError for anything outside its alphabet, and for padding too short or too long."""
    decoded = binascii.a2b_base64(data, strict_mode=True)
    if len(data) != 4 * ((len(decoded) + 2) // 3):  # strict mode lets `AAAA=` pass
        raise ValueError("the padding is wrong")
    return decoded


def encode(data: bytes) -> bytes:
    """Base64 on one line."""
    return binascii.b2a_base64(data, newline=False)
