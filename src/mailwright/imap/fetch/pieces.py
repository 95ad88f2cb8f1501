"""What a reader hands to a session to be sent."""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Final, NamedTuple

from mailwright.imap.fetch.binary import Encoded

SLICE_OCTETS: Final = 256 * 1024  # a slice ends once it is this large


class Remote(NamedTuple):
    """Octets of a large blob, to be read as the client takes them."""

    blob: int
    start: int
    stop: int


Later = Remote | Encoded  # what is read when the client takes it
Piece = bytes | Later
Unjoined = Piece | memoryview
_OCTETS: Final = (bytes, memoryview)


class Slice(NamedTuple):
    """Responses, and how many of the messages they cover; `missing`: some of those are gone.

    `keywords` are the texts of those that are shown; `undecodable`: a part could not be decoded (RFC 3516 4.3).
    """

    pieces: list[Piece]
    covered: int
    missing: bool
    keywords: Set[str] = frozenset()
    undecodable: bool = False


def joined(pieces: Iterable[Unjoined]) -> list[Piece]:
    """Octets that follow one another as one piece: each write has its price."""
    found: list[Piece] = []
    waiting: list[bytes | memoryview] = []
    for piece in pieces:
        if isinstance(piece, _OCTETS):
            waiting.append(piece)
        else:
            found += (b"".join(waiting), piece)
            waiting = []
    return [*found, b"".join(waiting)]
