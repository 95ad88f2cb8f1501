"""Reads everything back: what `mailwright doctor --deep` runs."""

from __future__ import annotations

import hashlib

from mailwright.store import search
from mailwright.store.blobs.api import is_hash_of
from mailwright.store.db.api import Transaction
from mailwright.store.errors import StoreError


def check_blobs(tx: Transaction, limit: int) -> list[str]:
    """What is wrong with the blobs, in at most `limit` sentences: each is read and its hash compared."""
    found: list[str] = []
    for blob, expected, size in tx.all("SELECT id, hash, size FROM blobs WHERE refs > 0 ORDER BY id"):
        if len(found) >= limit:
            break
        digest = hashlib.sha256()
        length = 0
        try:
            for piece in tx.blobs.read(tx, blob):
                digest.update(piece)
                length += len(piece)
        except StoreError as error:
            found.append(f"blob {blob}: {error}")
            continue
        if length != size or not is_hash_of(bytes(expected), digest.digest()):
            found.append(f"blob {blob} is not what was kept: its content or its size differs")
    return found


def check_indexes(tx: Transaction, limit: int) -> list[tuple[str, str]]:
    """The accounts whose search index is wrong, each with the first sentence about it."""
    found: list[tuple[str, str]] = []
    for account, address in tx.all(
        "SELECT a.id, a.address FROM accounts a JOIN search_state s ON s.account = a.id ORDER BY a.address"
    ):
        faults = search.check(tx, account, 1)
        if faults:
            found.append((address, faults[0]))
        if len(found) >= limit:
            break
    return found
