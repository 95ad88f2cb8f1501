"""BINARY and BINARY.SIZE: parts without their transfer encoding (RFC 3516). Large ones are decoded as they are sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mailwright.imap.fetch.sections import cut
from mailwright.imap.syntax.fetch import Section
from mailwright.message.decoder import Decoder, make_decoder
from mailwright.message.part import Part, find_part
from mailwright.store.blobs.api import CHUNK
from mailwright.store.db.api import Transaction


class Encoded(NamedTuple):
    """Octets [start, stop) of a blob to be decoded, of which `length` octets from `skip` on are asked for."""

    blob: int
    start: int
    stop: int
    encoding: str
    skip: int = 0
    length: int = 0


def find_encoded(root: Part | None, blob: int, size: int, section: Section) -> Encoded | None:
    """The part that a section names, all of it; None when there is none. The whole message has no encoding."""
    if root is None or not section.part:
        return Encoded(blob, 0, size, "binary")
    part = find_part(root, section.part)
    return None if part is None else of_part(blob, part)


def of_part(blob: int, part: Part) -> Encoded:
    return Encoded(blob, part.body_start, part.end, "binary" if part.children else part.encoding)


def measure(tx: Transaction, encoded: Encoded, partial: tuple[int, int] | None) -> Encoded:
    """The same with what `partial` asks for filled in. Raises UnknownEncoding."""
    decoder = make_decoder(encoded.encoding)
    size = encoded.stop - encoded.start
    if type(decoder) is not Decoder:
        size = sum(len(decoder.feed(piece)) for piece in read_encoded(tx, encoded)) + len(decoder.finish())
    start, stop = cut((0, size), partial)
    return encoded._replace(skip=start, length=stop - start)


def decode_now(tx: Transaction, encoded: Encoded, partial: tuple[int, int] | None) -> bytes:
    """The decoded octets of a small part. Raises UnknownEncoding."""
    decoder = make_decoder(encoded.encoding)
    decoded = b"".join([decoder.feed(piece) for piece in read_encoded(tx, encoded)]) + decoder.finish()
    start, stop = cut((0, len(decoded)), partial)
    return decoded[start:stop]


def read_encoded(tx: Transaction, encoded: Encoded) -> Iterator[bytes]:
    """The pieces as a large part is sent in them, so that it decodes the same way again."""
    for start in range(encoded.start, encoded.stop, CHUNK):
        yield read_piece(tx, encoded, start)


def read_piece(tx: Transaction, encoded: Encoded, start: int) -> bytes:
    return b"".join(tx.blobs.read(tx, encoded.blob, start, min(start + CHUNK, encoded.stop)))


def decode_piece(tx: Transaction, encoded: Encoded, decoder: Decoder, start: int) -> bytes:
    """The decoded octets of the piece from `start` on, with the end when it is the last."""
    decoded = decoder.feed(read_piece(tx, encoded, start))
    return decoded + decoder.finish() if start + CHUNK >= encoded.stop else decoded
