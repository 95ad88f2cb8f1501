"""What a reader hands to a session to be sent."""

from __future__ import annotations

from typing import Final, NamedTuple

from mailwright.imap.fetch.binary import Encoded

SLICE_OCTETS: Final = 256 * 1024  # a slice ends once it is this large


class Remote(NamedTuple):
    """Octets of a large blob, to be read as the client takes them."""

    blob: int
    start: int
    stop: int


Piece = bytes | Remote | Encoded


class Slice(NamedTuple):
    """Responses, and how many of the messages they cover; `missing`: some of those are gone."""

    pieces: list[Piece]
    covered: int
    missing: bool
