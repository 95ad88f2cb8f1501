"""What a migration has to compute of the mail that is there."""

from __future__ import annotations

import re
from typing import Final

from mailwright.message.date import parse_date
from mailwright.store.db.api import Transaction

_PORTION: Final = 1000  # messages that are read at a time
_DATE: Final = re.compile(rb'\("((?:[^"\\]|\\.)*+)"')  # what an ENVELOPE begins with


def read_zones(tx: Transaction) -> None:
    """Migration 11: the zone in the Date field of each message that has one."""
    last = 0
    while rows := tx.all(
        "SELECT id, envelope FROM messages WHERE id > ? AND sent_at IS NOT NULL AND sent_zone IS NULL"
        " ORDER BY id LIMIT ?",
        last,
        _PORTION,
    ):
        messages = [message for message, _ in rows]
        envelopes = tx.blobs.codec.unpack_all(tx, [envelope for _, envelope in rows])
        zones = [_zone(envelope) for envelope in envelopes]
        tx.many("UPDATE messages SET sent_zone = ? WHERE id = ?", list(zip(zones, messages, strict=True)))
        last = messages[-1]


def _zone(envelope: bytes) -> int:
    date = _DATE.match(envelope)
    found = parse_date(date.group(1)) if date is not None else None
    return found[1] if found is not None else 0
