"""Dictionaries of zstd that the store learned from its own mail: what was packed with one needs it for ever.

They are kept compressed themselves, but for those of the first versions.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import zstandard

from mailwright.store.errors import NotAllowed, StoreFailed

if TYPE_CHECKING:
    from mailwright.store.db.api import Transaction

_LAST: Final = 255  # a number takes one octet
_LEVEL: Final = 10  # half of the size, in a few milliseconds


def read(tx: Transaction, number: int) -> bytes:
    """A dictionary. Raises StoreFailed when it is missing or damaged."""
    row = tx.one("SELECT data, hash FROM dictionaries WHERE number = ?", number)
    if row is None:
        raise StoreFailed(f"dictionary {number} is missing from the database; restore a backup")
    data, digest = bytes(row[0]), bytes(row[1])
    with suppress(zstandard.ZstdError, MemoryError):
        if data.startswith(zstandard.FRAME_HEADER):
            data = zstandard.decompress(data)
    if hashlib.sha256(data).digest() != digest:
        raise StoreFailed(f"dictionary {number} in the database is damaged; restore a backup")
    return data


def read_newest(tx: Transaction) -> tuple[int, int] | None:
    """The number of the newest dictionary, and the highest id of a blob when it was learned."""
    row = tx.one("SELECT number, blobs FROM dictionaries ORDER BY number DESC LIMIT 1")
    return None if row is None else (int(row[0]), int(row[1]))


def keep(tx: Transaction, data: bytes, blobs: int, now: int) -> int:
    """Add a dictionary; its number. Raises NotAllowed when there are too many."""
    newest = read_newest(tx)
    number = 1 if newest is None else newest[0] + 1
    if number > _LAST:
        raise NotAllowed(f"the store has {_LAST} dictionaries, and can keep no more")
    tx.run(
        "INSERT INTO dictionaries (number, data, hash, blobs, learned_at) VALUES (?, ?, ?, ?, ?)",
        number,
        zstandard.compress(data, _LEVEL),
        hashlib.sha256(data).digest(),
        blobs,
        now,
    )
    return number
