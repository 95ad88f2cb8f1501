"""Changes to many places at once: a statement for each run of UIDs, not for each message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from mailwright.store.blobs.api import BlobStore
from mailwright.store.db.api import Transaction
from mailwright.store.model import Flag, Place
from mailwright.store.sets import ranges

SEEN: Final = int(Flag.SEEN)  # an enumeration's own operators are slow
DELETED: Final = int(Flag.DELETED)
_WITHIN = "account = ? AND mailbox = ? AND uid >= ? AND uid <= ?"


class Marks(NamedTuple):
    """Flags and keywords of a place."""

    flags: int
    keywords: str


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


def mark(
    tx: Transaction,
    account: int,
    mailbox: int,
    modseq: int,
    groups: dict[tuple[int, str], list[int]],
    to: dict[tuple[int, str], Marks],
) -> None:
    """Give the UIDs of each group, which have its marks, those that `to` holds for them."""
    together = list(ranges(uid for uids in groups.values() for uid in uids))
    rows = []
    for old, uids in groups.items():
        flags, keywords = old
        new = to[old]
        apart = list(ranges(uids)) if len(groups) > 1 else together
        rows += [
            (new.flags, new.keywords, modseq, account, mailbox, first, last, flags, keywords, modseq)
            for first, last in (apart if len(apart) < len(together) else together)
        ]
    tx.many(
        f"UPDATE places SET flags = ?, keywords = ?, modseq = ? WHERE {_WITHIN}"  # noqa: S608
        " AND flags = ? AND keywords = ? AND modseq < ?",
        rows,
    )


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
        rows.append((target, place - first, modseq, now, account, mailbox, first, last))
        place += last - first + 1
    tx.many(
        "INSERT INTO places (account, mailbox, uid, message, modseq, flags, keywords, internal_date, saved_at)"  # noqa: S608
        " SELECT account, ?, uid + ?, message, ?, flags, keywords, internal_date, coalesce(?, saved_at)"
        f" FROM places WHERE {_WITHIN}",
        rows,
    )


def remove(tx: Transaction, account: int, mailbox: int, places: Sequence[Place]) -> None:
    for first, last in ranges(place.uid for place in places):
        tx.run(f"DELETE FROM places WHERE {_WITHIN}", account, mailbox, first, last)  # noqa: S608


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
