"""What RFC 5256's threads are made of: hashes of a message's id and of those it refers to, kept with the message.

The record is an octet (1: the subject is that of a reply or forward), then eight octets for each id: its own first
(0: it has none), then those it refers to, the oldest first.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import NamedTuple

from mailwright.message.parsed import ParsedMessage
from mailwright.message.parser import parse_message
from mailwright.message.subject import base_subject
from mailwright.store.db.api import Transaction

MAX_REFERENCES = 64  # of one message: the first and the last ones
_HEADER = 128 * 1024  # octets that are read for a message's header


class Links(NamedTuple):
    """A record's content. `own` is 0 for a message without an id."""

    reply: bool
    own: int
    references: tuple[int, ...]


def to_record(parsed: ParsedMessage) -> bytes:
    """The record of a parsed message."""
    # RFC 5256 3: In-Reply-To counts only where References says nothing, and only its first id.
    ids = parsed.references or parsed.in_reply_to[:1]
    if len(ids) > MAX_REFERENCES:
        ids = ids[:1] + ids[1 - MAX_REFERENCES :]
    own = parsed.message_id
    numbers = [_number(own) if own else 0, *map(_number, ids)]
    return struct.pack(f">B{len(numbers)}q", base_subject(parsed.subject)[1], *numbers)


def from_record(record: bytes) -> Links:
    """The content of a record."""
    reply, own, *references = struct.unpack(f">B{len(record) // 8}q", record)
    return Links(bool(reply), own, tuple(references))


def read_record(tx: Transaction, blob: int, size: int) -> bytes:
    """The record of a message that was stored without one."""
    return to_record(parse_message(b"".join(tx.blobs.read(tx, blob, 0, min(size, _HEADER)))))


def keep(tx: Transaction, records: Sequence[tuple[int, bytes]]) -> None:
    """Keep the records of messages, by id."""
    tx.many("UPDATE messages SET links = ? WHERE id = ?", [(record, message) for message, record in records])


def _number(message_id: str) -> int:
    digest = hashlib.blake2b(message_id.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True) or 1
