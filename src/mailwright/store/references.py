"""The links between messages (`message.links`) of mail that was stored without them."""

from __future__ import annotations

from collections.abc import Sequence

from mailwright.message.links import to_record
from mailwright.message.parser import parse_message
from mailwright.store.db.api import Transaction

_HEADER = 128 * 1024  # octets that are read for a message's header


def read_record(tx: Transaction, blob: int, size: int) -> bytes:
    """The record of a message that was stored without one."""
    return to_record(parse_message(b"".join(tx.blobs.read(tx, blob, 0, min(size, _HEADER)))))


def keep(tx: Transaction, records: Sequence[tuple[int, bytes]]) -> None:
    """Keep the records of messages, by id."""
    tx.many("UPDATE messages SET links = ? WHERE id = ?", [(record, message) for message, record in records])
