"""Marks: flags and keywords that places of a mailbox have in common.

A place names its mark, so a whole mailbox is marked by a change of few rows. Who reads flags, keywords or the modseq of
places reads the view `marked`: a place is as new as the newer of its own modseq and its mark's. Several marks of a
mailbox may have the same flags and keywords.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from mailwright.store.db.api import Transaction

_ONE_BY_ONE: Final = 20  # marks that are looked up each alone
SWEEP: Final = 100  # marks more in a mailbox, and those that no place has are removed


class Marks(NamedTuple):
    """Flags and keywords; `keywords` is sorted and space-separated."""

    flags: int
    keywords: str


NONE: Final = Marks(0, "")


class Mark(NamedTuple):
    """A row of marks, and since when all its places have them."""

    marks: Marks
    modseq: int


def read_marks(tx: Transaction, account: int, mailbox: int) -> dict[int, Mark]:
    """All marks of a mailbox, by id."""
    rows = tx.all(
        "SELECT id, flags, keywords, modseq FROM marks WHERE account = ? AND mailbox = ?", account, mailbox
    )
    return {mark: Mark(Marks(flags, keywords), modseq) for mark, flags, keywords, modseq in rows}


def find_marks(tx: Transaction, account: int, mailbox: int, wanted: Collection[Marks]) -> dict[Marks, int]:
    """Marks of the mailbox with these flags and keywords; what there is none of is made.

    They are the caller's until its places have them, if it asks for all that it needs at once.
    """
    found = _look_up(tx, account, mailbox, wanted)
    if len(found) < len(wanted) and _is_sweep_due(tx, account, mailbox, len(wanted) - len(found)):
        _sweep(tx, account, mailbox)
        found = _look_up(tx, account, mailbox, wanted)
    for marks in wanted:
        if marks not in found:
            found[marks] = _make(tx, account, mailbox, marks)
    return found


def _look_up(tx: Transaction, account: int, mailbox: int, wanted: Collection[Marks]) -> dict[Marks, int]:
    if len(wanted) > _ONE_BY_ONE:  # each look passes all marks with the same flags
        every = {one.marks: mark for mark, one in read_marks(tx, account, mailbox).items()}
        return {marks: every[marks] for marks in wanted if marks in every}
    sql = "SELECT id FROM marks WHERE account = ? AND mailbox = ? AND flags = ? AND keywords = ? LIMIT 1"
    rows = [(marks, tx.one(sql, account, mailbox, *marks)) for marks in wanted]
    return {marks: int(row[0]) for marks, row in rows if row is not None}


def make_fresh(tx: Transaction, account: int, mailbox: int) -> int:
    """A new mark for what comes in without flags."""
    return _make(tx, account, mailbox, NONE)


def _make(tx: Transaction, account: int, mailbox: int, marks: Marks) -> int:
    sql = "INSERT INTO marks (account, mailbox, flags, keywords, modseq) VALUES (?, ?, ?, ?, 0) RETURNING id"
    row = tx.one(sql, account, mailbox, *marks)
    assert row is not None
    return int(row[0])


def change_marks(tx: Transaction, account: int, mailbox: int, modseq: int, to: dict[int, Marks]) -> None:
    """Give all places of these marks other flags and keywords."""
    tx.many(
        "UPDATE marks SET flags = ?, keywords = ?, modseq = ? WHERE id = ?",
        [(*marks, modseq, mark) for mark, marks in to.items()],
    )
    (fresh,) = tx.one("SELECT fresh FROM mailboxes WHERE account = ? AND id = ?", account, mailbox) or (0,)
    if fresh in to:
        fresh = make_fresh(tx, account, mailbox)
        tx.run("UPDATE mailboxes SET fresh = ? WHERE account = ? AND id = ?", fresh, account, mailbox)


def _is_sweep_due(tx: Transaction, account: int, mailbox: int, more: int) -> bool:
    """Whether the marks of the mailbox pass a multiple of SWEEP."""
    (count,) = tx.one("SELECT count(*) FROM marks WHERE account = ? AND mailbox = ?", account, mailbox) or (
        0,
    )
    return bool((count + more) // SWEEP > count // SWEEP)


def _sweep(tx: Transaction, account: int, mailbox: int) -> None:
    """Remove the marks that no place has, but that of what comes in."""
    key = (account, mailbox)
    tx.run(
        "DELETE FROM marks WHERE account = ? AND mailbox = ?"
        " AND id NOT IN (SELECT mark FROM places WHERE account = ? AND mailbox = ?)"
        " AND id NOT IN (SELECT fresh FROM mailboxes WHERE account = ? AND id = ?)",
        *key,
        *key,
        *key,
    )
