"""Reads columns of many messages for SORT and THREAD, in portions."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from mailwright.imap.view import Key
from mailwright.store.db.api import Row, Transaction
from mailwright.store.reading import source, unpacked

PORTION: Final = 20_000  # messages read at a time
_GAP: Final = 64  # UIDs that are read in vain, rather than begin another query


def portions(uids: array[int]) -> Iterator[array[int]]:
    """Rising UIDs in portions."""
    for start in range(0, len(uids), PORTION):
        yield uids[start : start + PORTION]


def read_rows(tx: Transaction, key: Key, uids: Sequence[int], columns: Sequence[str]) -> list[Row]:
    """`columns` of places (`p.`) and messages (`m.`), then the UID, of those of the UIDs that exist, rising.

    `columns` is SQL and never holds what a peer sent.
    """
    join = " JOIN messages m ON m.id = p.message" if any("m." in column for column in columns) else ""
    names = ", ".join([*columns, "p.uid"])
    sql = (
        f"SELECT {names} {source(names)}{join}"
        " WHERE p.account = ? AND p.mailbox = ? AND p.uid >= ? AND p.uid <= ? ORDER BY p.uid"
    )
    rows: list[Row] = []
    wanted = set(uids)
    for first, last in _spans(uids):
        rows += [row for row in tx.all(sql, *key, first, last) if row[-1] in wanted]
    return list(unpacked(tx, rows, names))


def _spans(uids: Sequence[int]) -> Iterator[tuple[int, int]]:
    if not uids:
        return
    first = uids[0]
    for before, after in pairwise(uids):
        if after - before > _GAP:
            yield first, before
            first = after
    yield first, uids[-1]
