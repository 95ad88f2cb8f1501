"""Bodies in base64 and quoted-printable, as the octets that they stand for.

Encoded text is longer than what it encodes, and hides from compression that two parts say the same. A body is decoded
only where to encode it again gives exactly the same octets: `restore` gives what `shorten` was given, whatever comes.

The short form is the length of a msgpack array in two octets, the array, and the content with its bodies decoded. The
array has three numbers for each of these: how many octets before it stand as they were, the length of its lines (0:
quoted-printable), how many octets it has.
"""

from __future__ import annotations

from binascii import a2b_qp, b2a_qp
from collections.abc import Iterator
from functools import lru_cache
from struct import Struct
from typing import Final

import msgspec
import pybase64

_FIELD: Final = b"ransfer-"  # however the field's name is written, but for all in capitals, as hardly any is
_REST: Final = b"encoding:"
_LONGEST: Final = 100  # octets in which the encoding is named
_MAX_BODIES: Final = 200  # that are looked at in one chunk
_MAX_LINE: Final = 996  # octets
_LEAST: Final = 40  # octets of a body that is worth it
_DENSE: Final = (
    0.7  # what quoted-printable shrinks to at least; other text is not worth the time to encode it again
)
_HEAD: Final = 2  # octets that hold the array's length

_AT_ONCE: Final = 64  # lines that are cut at once

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[int])


def shorten(content: bytes) -> bytes | None:
    """The short form; None when there is nothing to decode. Time is linear in the octets."""
    plan: list[int] = []
    pieces: list[bytes] = []
    done = 0
    for start, stop, line in _bodies(content):
        body = content[start:stop]
        data = _from_base64(body, line) if line else _from_quoted(body)
        if data is not None:
            plan += (start - done, line, len(data))
            pieces += (content[done:start], data)
            done = stop
    if not plan:
        return None
    array = _encoder.encode(plan)
    return b"".join((len(array).to_bytes(_HEAD, "big"), array, *pieces, content[done:]))


def restore(form: bytes | memoryview, wanted: int | None = None) -> list[bytes | memoryview]:
    """The content of a short form, in pieces; at least its first `wanted` octets. Raises ValueError when it is damaged.

    What is not wanted is not encoded.
    """
    octets = memoryview(form)  # what stands as it was is not copied
    position = _HEAD + int.from_bytes(octets[:_HEAD], "big")
    plan = iter(_decoder.decode(octets[_HEAD:position]))
    pieces: list[bytes | memoryview] = []
    given = 0
    for gap, line, size in zip(plan, plan, plan, strict=True):
        start = position + gap
        pieces.append(octets[position:start])
        if wanted is not None and given + gap >= wanted:
            return pieces
        position = start + size
        body = octets[start:position]
        encoded = _to_base64(body, line) if line else _to_quoted(body.tobytes())
        given += gap + len(encoded)
        pieces.append(encoded)
    pieces.append(octets[position:])
    return pieces


def _bodies(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Where each encoded body starts and stops, and the length of its lines (0: quoted-printable)."""
    position = 0
    start = content.find(b"\r\n", 0, _MAX_LINE + 2) + 2  # a chunk may be cut out of a body
    if (line := _regular(content, start)) > 4 and line == _regular(content, start + line + 2):
        position = _end(content, start, line)
        yield start, position, line
    for _ in range(_MAX_BODIES):
        field = _find_field(content, position)
        blank = content.find(b"\r\n\r\n", field) if field >= 0 else -1
        if blank < 0:
            return
        start = position = blank + 4
        encoding = content[field : min(blank, field + _LONGEST)].lstrip().lower()
        if encoding.startswith(b"quoted-printable"):
            position = _end(content, start, 0)
            yield start, position, 0
        elif encoding.startswith(b"base64") and (line := _regular(content, start)):
            position = _end(content, start, line)
            yield start, position, line


def _find_field(content: bytes, position: int) -> int:
    """Where the value of the next Content-Transfer-Encoding begins, -1 when there is none."""
    while (start := content.find(_FIELD, position)) >= 0:
        position = start + len(_FIELD)
        stop = position + len(_REST)
        if content[position:stop].lower() == _REST:
            return stop
    return -1


def _regular(content: bytes, start: int) -> int:
    """The length of the line that begins here, if it may be one of base64; else 0."""
    stop = content.find(b"\r\n", start, start + _MAX_LINE + 2)
    length = (len(content) if stop < 0 else stop) - start
    return (
        length if 4 <= length <= _MAX_LINE and length % 4 == 0 and content.find(b" ", start, stop) < 0 else 0
    )


def _end(content: bytes, start: int, line: int) -> int:
    """Where the body that begins here stops: before a boundary and the ends of lines that precede it."""
    stop = content.find(b"\r\n--", start)
    cut = stop < 0
    if cut:
        stop = len(content)
    while content.endswith(b"\r\n", start, stop):
        stop -= 2
    last = (stop - start) % (line + 2)
    if cut and line and last % 4 and stop - start > last:  # the chunk ends within a line
        stop -= last + 2
    return stop


def _from_base64(body: bytes, line: int) -> bytes | None:
    """What the body encodes; None when it is too small or not regular."""
    if len(body) < _LEAST:
        return None
    try:
        data = pybase64.b64decode(body.replace(b"\r", b"").replace(b"\n", b""), validate=True)
    except ValueError:
        return None
    return data if _to_base64(data, line) == body else None


def _to_base64(data: bytes | memoryview, line: int) -> bytes:
    text = pybase64.b64encode(data)
    stop = len(text)
    lines: list[bytes] = []
    start = 0
    while (count := min((stop - start) // line, _AT_ONCE)) > 0:
        lines += _cutter(line, count).unpack_from(text, start)
        start += count * line
    if start < stop:
        lines.append(text[start:stop])
    return b"\r\n".join(lines)


@lru_cache(4 * _AT_ONCE)
def _cutter(line: int, count: int) -> Struct:
    """Cuts so many lines of this length in C."""
    return Struct(f"{line}s" * count)


def _from_quoted(body: bytes) -> bytes | None:
    """What the body encodes; None when it is small, hardly shorter, or encoded in another way than usual."""
    if len(body) < _LEAST or b"=" not in body:
        return None
    data = a2b_qp(body)
    if len(data) > _DENSE * len(body):
        return None
    return data if _to_quoted(data) == body else None


def _to_quoted(data: bytes) -> bytes:
    # To replace one octet is many times as fast as two; with CR in the data, b2a_qp breaks lines an octet too early.
    return b2a_qp(data.replace(b"\r", b"")).replace(b"\n", b"\r\n")
