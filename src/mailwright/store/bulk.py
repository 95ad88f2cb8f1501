"""Changes to many places at once: a statement for each run of UIDs, not for each message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from mailwright.store.blobs.api import BlobStore
from mailwright.store.db.api import Transaction
from mailwright.store.marks import ALIKE, Marks, find_marks
from mailwright.store.model import Flag, Place
from mailwright.store.sets import ranges

SEEN: Final = int(Flag.SEEN)  # an enumeration's own operators are slow
DELETED: Final = int(Flag.DELETED)
Spans = Sequence[tuple[int, int]]  # of UIDs, first and last
WITHIN = "account = ? AND mailbox = ? AND uid >= ? AND uid <= ?"


class Counts(NamedTuple):
    """What places count for in their mailbox."""

    messages: int
    unseen: int
    deleted: int
    octets: int


def count(places: Sequence[Place], octets: int) -> Counts:
    unseen = sum([1 for place in places if not place.flags & SEEN])
    deleted = sum([1 for place in places if place.flags & DELETED])
    return Counts(len(places), unseen, deleted, octets)


def read_octets(tx: Transaction, account: int, mailbox: int, places: Sequence[Place]) -> int:
    """The octets of the messages in these places."""
    octets = 0
    for first, last in ranges(place.uid for place in places):
        row = tx.one(
            "SELECT sum(m.size) FROM places p JOIN messages m ON m.id = p.message"
            " WHERE p.account = ? AND p.mailbox = ? AND p.uid >= ? AND p.uid <= ?",
            account,
            mailbox,
            first,
            last,
        )
        octets += int(row[0] or 0) if row is not None else 0
    return octets


def duplicate(
    tx: Transaction,
    account: int,
    mailbox: int,
    places: Sequence[Place],
    target: int,
    first_uid: int,
    modseq: int,
    now: int | None,
) -> None:
    """Give these places second ones in `target`, with UIDs from `first_uid` on.

    `now` None keeps the dates of saving.
    """
    place = first_uid
    rows = []
    for first, last in ranges(place.uid for place in places):
        rows.append((place - first, modseq, now, target, account, mailbox, first, last))
        place += last - first + 1
    find_marks(tx, account, target, {Marks(place.flags, place.keywords) for place in places})
    tx.many(
        "INSERT INTO places (account, mailbox, uid, message, own_modseq, mark, internal_date, saved_at)"  # noqa: S608
        " SELECT p.account, b.id, p.uid + ?, p.message, ?, (SELECT min(id) FROM marks WHERE account = b.account"
        f" AND mailbox = b.id AND {ALIKE.format('p.flags', 'p.keywords')}), p.internal_date,"
        " coalesce(?, p.saved_at) FROM marked p JOIN mailboxes b ON b.account = p.account AND b.id = ?"
        " WHERE p.account = ? AND p.mailbox = ? AND p.uid >= ? AND p.uid <= ?",
        rows,
    )


def remove(tx: Transaction, account: int, mailbox: int, places: Sequence[Place]) -> None:
    for first, last in ranges(place.uid for place in places):
        tx.run(f"DELETE FROM places WHERE {WITHIN}", account, mailbox, first, last)  # noqa: S608


def forget_messages(tx: Transaction, messages: Iterable[int]) -> tuple[list[int], int]:
    """Remove those messages that have no place any more, with their blobs; which, and their octets."""
    gone: list[int] = []
    blobs: list[int] = []
    octets = 0
    for first, last in ranges(messages):
        rows = tx.all(
            "DELETE FROM messages WHERE id >= ? AND id <= ?"
            " AND NOT EXISTS (SELECT 1 FROM places WHERE message = messages.id) RETURNING id, blob, size",
            first,
            last,
        )
        for message, blob, size in rows:
            gone.append(message)
            blobs.append(blob)
            octets += size
    _release(tx, tx.blobs, blobs)
    return gone, octets


def _release(tx: Transaction, store: BlobStore, blobs: list[int]) -> None:
    """Release each blob as often as it is listed."""
    while blobs:
        once = set(blobs)
        store.release_all(tx, once)
        if len(once) == len(blobs):
            return
        rest = []
        for blob in blobs:
            if blob in once:
                once.discard(blob)
            else:
                rest.append(blob)
        blobs = rest
