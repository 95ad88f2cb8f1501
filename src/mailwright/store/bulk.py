"""Changes to many places at once: a statement for each run of UIDs, not for each message."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from mailwright.store.blobs.api import BlobStore
from mailwright.store.db.api import Transaction
from mailwright.store.model import Flag, Place
from mailwright.store.sets import ranges

SEEN: Final = int(Flag.SEEN)  # an enumeration's own operators are slow
DELETED: Final = int(Flag.DELETED)
Spans = Sequence[tuple[int, int]]  # of UIDs, first and last
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


class Change(NamedTuple):
    """A change of marks: the flags that stay and those that are set, and new keywords by old ones; None: they stay."""

    stay: int
    on: int
    keywords: dict[str, str] | None


def read_keywords(tx: Transaction, account: int, mailbox: int, spans: Spans) -> set[str]:
    """The texts of keywords in use from the first to the last UID of each span."""
    sql = f"SELECT DISTINCT keywords FROM places WHERE {_WITHIN}"  # noqa: S608
    return {text for first, last in spans for (text,) in tx.all(sql, account, mailbox, first, last)}


def read_newer(tx: Transaction, account: int, mailbox: int, spans: Spans, modseq: int) -> list[int]:
    """The UIDs in these spans with a higher modseq, rising."""
    sql = f"SELECT uid FROM places WHERE {_WITHIN} AND modseq > ? ORDER BY uid"  # noqa: S608
    return [uid for first, last in spans for (uid,) in tx.all(sql, account, mailbox, first, last, modseq)]


def would_change(
    tx: Transaction, account: int, mailbox: int, spans: Spans, change: Change, unchanged_since: int
) -> bool:
    """Whether a change makes any mark in these spans another one."""
    sql = f"SELECT 1 FROM places WHERE {_WITHIN} AND modseq <= ? AND %s LIMIT 1"  # noqa: S608
    return any(
        tx.one(sql % condition, account, mailbox, first, last, unchanged_since, *params) is not None
        for first, last in spans
        for _, _, condition, params in _steps(change)
    )


def mark_all(
    tx: Transaction,
    account: int,
    mailbox: int,
    spans: Spans,
    change: Change,
    modseq: int,
    unchanged_since: int,
) -> list[tuple[int, int]]:
    """Carry out a change in these spans, but where `modseq` is higher than `unchanged_since`; the UIDs it touched."""
    touched: list[tuple[int, int]] = []
    for first, last in spans:
        within = (account, mailbox, first, last)
        count = 0
        for setting, values, condition, params in _steps(change):
            sql = f"UPDATE places SET {setting}, modseq = ? WHERE {_WITHIN} AND modseq <= ? AND {condition}"  # noqa: S608
            count += tx.run(sql, *values, modseq, *within, unchanged_since, *params)
        if count == last - first + 1:
            touched.append((first, last))
        elif count:
            rows = tx.all(f"SELECT uid FROM places WHERE {_WITHIN} AND modseq = ?", *within, modseq)  # noqa: S608
            touched += ranges(uid for (uid,) in rows)
    return touched


def _steps(change: Change) -> Iterator[tuple[str, tuple[str, ...], str, tuple[str, ...]]]:
    """What to set, with its parameters, and where, with its parameters; what one step made no other one changes."""
    flags = f"((flags & {change.stay}) | {change.on})"
    if change.keywords is None:
        yield f"flags = {flags}", (), f"flags <> {flags}", ()
        return
    for old, new in change.keywords.items():
        condition = f"keywords = ? AND (flags <> {flags} OR keywords <> ?)"
        yield f"flags = {flags}, keywords = ?", (new,), condition, (old, new)


def count_marks(tx: Transaction, account: int, mailbox: int, spans: Spans) -> Counts:
    """What the places in these spans count for, but for their octets."""
    sql = (
        f"SELECT count(*), coalesce(sum(1 - (flags & {SEEN})), 0), coalesce(sum((flags & {DELETED}) / {DELETED}), 0)"  # noqa: S608
        f" FROM places WHERE {_WITHIN}"
    )
    rows = [tx.one(sql, account, mailbox, first, last) or (0, 0, 0) for first, last in spans]
    messages, unseen, deleted = (int(sum(column)) for column in zip(*rows, strict=True))
    return Counts(messages, unseen, deleted, 0)


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
