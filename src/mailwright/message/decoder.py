"""Taking off a transfer encoding piece by piece, in bounded memory; the same octets as `content.decode_octets`."""

from __future__ import annotations

import binascii
from typing import Final

from mailwright.message.content import UnknownEncoding, decode_quoted
from mailwright.message.header import NOT_BASE64

_IDENTITY: Final = frozenset(("", "7bit", "8bit", "binary"))
_MAX_LINE: Final = 64 * 1024  # octets of quoted-printable without a line end that are kept waiting


class Decoder:
    """Decodes nothing: 7bit, 8bit and binary."""

    def feed(self, data: bytes) -> bytes:
        """The decoded octets that these complete."""
        return data

    def finish(self) -> bytes:
        """What was still waiting."""
        return b""


class Base64Decoder(Decoder):
    """Foreign characters are passed over; padding may stand in the middle, where pieces were joined."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        *closed, rest = (self._rest + data.translate(None, NOT_BASE64)).split(b"=")
        decoded = [_base64(run) for run in closed]
        whole = len(rest) & ~3
        self._rest = rest[whole:]
        decoded.append(binascii.a2b_base64(rest[:whole]))
        return b"".join(decoded)

    def finish(self) -> bytes:
        rest, self._rest = self._rest, b""
        return _base64(rest)


def _base64(run: bytes) -> bytes:
    if len(run) % 4 == 1:  # six bits say nothing
        run = run[:-1]
    return binascii.a2b_base64(run + b"=" * (-len(run) % 4))


class QuotedPrintableDecoder(Decoder):
    """Whole lines at a time; of a line that does not end, all but an escape that may be cut."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        data = self._rest + data
        end = data.rfind(b"\n") + 1
        if len(data) - end > _MAX_LINE:
            end = len(data.rstrip(b" \t"))
            escape = data.rfind(b"=", max(0, end - 3), end)
            end = (end if escape < 0 else escape) or len(data)
        self._rest = data[end:]
        lines = data[:end]
        return decode_quoted(lines)

    def finish(self) -> bytes:
        rest, self._rest = self._rest, b""
        return decode_quoted(rest)


def make_decoder(encoding: str) -> Decoder:
    """Raises UnknownEncoding for all that RFC 2045 does not define."""
    if encoding in _IDENTITY:
        return Decoder()
    if encoding == "base64":
        return Base64Decoder()
    if encoding == "quoted-printable":
        return QuotedPrintableDecoder()
    raise UnknownEncoding(f"the transfer encoding {encoding!r} is unknown")
