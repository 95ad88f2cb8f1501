"""What threads are made of: hashes of a message's id and of those it refers to (RFC 5256 3).

The record is an octet (1: the subject is that of a reply or forward), then eight octets for each id: its own first
(0: it has none), then those it refers to, the oldest first.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final, NamedTuple

from mailwright.message.parsed import ParsedMessage

MAX_REFERENCES: Final = 64  # of one message: the first and the last ones

_NONE: Final = bytes(8)


class Links(NamedTuple):
    """A record's content. `own` is 0 for a message without an id."""

    reply: bool
    own: int
    references: tuple[int, ...]

    @property
    def keys(self) -> list[int]:
        """By what a message belongs to a thread, each once: its own id, then those it refers to, the nearest first."""
        ids = [self.own] if self.own else []
        return list(dict.fromkeys([*ids, *reversed(self.references)]))


def to_record(parsed: ParsedMessage) -> bytes:
    """The record of a parsed message."""
    return record_of(parsed, parsed.message_id)


def record_of(parsed: ParsedMessage, own: str) -> bytes:
    """The same, where its message-id is known."""
    # RFC 5256 3: In-Reply-To counts only where References says nothing, and only its first id.
    ids = parsed.references or parsed.in_reply_to[:1]
    if len(ids) > MAX_REFERENCES:
        ids = ids[:1] + ids[1 - MAX_REFERENCES :]
    reply = b"\1" if parsed.is_reply else b"\0"
    return b"".join([reply, _octets(own) if own else _NONE, *[_octets(one) for one in ids]])


def from_record(record: bytes) -> Links:
    """The content of a record."""
    reply, own, *references = struct.unpack(f">B{len(record) // 8}q", record)
    return Links(bool(reply), own, tuple(references))


def _octets(message_id: str) -> bytes:
    digest = hashlib.blake2b(message_id.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return digest if digest != _NONE else b"\0\0\0\0\0\0\0\1"
