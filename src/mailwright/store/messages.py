"""Changes to places of messages: copy, move, expunge. How they come: `arrivals`; are flagged: `flags`; read: `reading`.

A message is what is shared: blob, structure, thread. A place is its stay in one mailbox, with its own UID and flags.
The last place of a message takes the message with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailwright.store import bulk, changes, search
from mailwright.store.arrivals import insert_places, take_uids
from mailwright.store.bulk import DELETED, Counts
from mailwright.store.db.api import Transaction
from mailwright.store.model import Copied, Kind, Place
from mailwright.store.reading import _places, read_places
from mailwright.store.sets import ranges


def copy(
    tx: Transaction, account: int, mailbox: int, uids: Sequence[int], target: int, *, now: int
) -> Copied:
    """Give the places a second one in `target`, with the same flags and internal date (RFC 3501 6.4.7).

    UIDs that are gone are passed over. Raises NoSuchMailbox.
    """
    changes.hold(tx, account)
    places = read_places(tx, account, mailbox, uids)
    counts = bulk.count(places, bulk.read_octets(tx, account, mailbox, places))
    modseq = changes.next_modseq(tx, account)
    return _copy_places(tx, account, mailbox, places, counts, target, modseq, now)


def move(
    tx: Transaction, account: int, mailbox: int, uids: Sequence[int], target: int, *, now: int | None = None
) -> Copied:
    """Copy and expunge as one change (RFC 6851 3.3). `now` None keeps the date of saving. Raises NoSuchMailbox."""
    changes.hold(tx, account)
    places = read_places(tx, account, mailbox, uids)
    counts = bulk.count(places, bulk.read_octets(tx, account, mailbox, places))
    modseq = changes.next_modseq(tx, account)
    copied = _copy_places(tx, account, mailbox, places, counts, target, modseq, now)
    _remove_places(tx, account, mailbox, places, counts, modseq)
    return copied


def expunge(
    tx: Transaction, account: int, mailbox: int, uids: Sequence[int] | None, *, only_deleted: bool = False
) -> list[int]:
    r"""Remove places: those of these UIDs, or (None) all; with `only_deleted` just those flagged \Deleted.

    The UIDs that went, rising.
    """
    changes.hold(tx, account)
    if uids is None:
        where = " AND (flags & 8) <> 0" if only_deleted else ""
        places = _places(tx, f"account = ? AND mailbox = ?{where} ORDER BY uid", account, mailbox)
    else:
        places = read_places(tx, account, mailbox, uids)
        if only_deleted:
            places = [place for place in places if place.flags & DELETED]
    if not places:
        return []
    counts = bulk.count(places, bulk.read_octets(tx, account, mailbox, places))
    modseq = changes.next_modseq(tx, account)
    _remove_places(tx, account, mailbox, places, counts, modseq)
    _forget_messages(tx, account, {place.message for place in places})
    return [place.uid for place in places]


def _copy_places(
    tx: Transaction,
    account: int,
    mailbox: int,
    places: list[Place],
    counts: Counts,
    target: int,
    modseq: int,
    now: int | None,
) -> Copied:
    uidvalidity, first = take_uids(tx, account, target, modseq, counts)
    bulk.duplicate(tx, account, mailbox, places, target, first, modseq, now)
    new = list(range(first, first + len(places)))
    if new:
        messages = [place.message for place in places]
        changes.append(tx, account, modseq, target, Kind.ARRIVED, new, messages)
    return Copied(uidvalidity, [place.uid for place in places], new, modseq)


def put(
    tx: Transaction, account: int, places: list[Place], target: int, modseq: int, now: int | None
) -> Copied:
    """Give messages of the account new places like these in `target`. Raises NoSuchMailbox."""
    sizes = _sizes(tx, places)
    counts = bulk.count(places, sum([sizes[place.message] for place in places]))
    uidvalidity, first = take_uids(tx, account, target, modseq, counts)
    new = [
        place._replace(uid=first + n, modseq=modseq, saved_at=place.saved_at if now is None else now)
        for n, place in enumerate(places)
    ]
    insert_places(tx, account, target, new)
    if new:
        _log(tx, account, modseq, target, Kind.ARRIVED, new)
    return Copied(uidvalidity, [place.uid for place in places], [place.uid for place in new], modseq)


def _remove_places(
    tx: Transaction, account: int, mailbox: int, places: Sequence[Place], counts: Counts, modseq: int
) -> None:
    if not places:
        return
    bulk.remove(tx, account, mailbox, places)
    tx.run(
        "UPDATE mailboxes SET modseq = ?, messages = messages - ?, unseen = unseen - ?, deleted = deleted - ?,"
        " bytes = bytes - ? WHERE account = ? AND id = ?",
        modseq,
        *counts,
        account,
        mailbox,
    )
    _log(tx, account, modseq, mailbox, Kind.EXPUNGED, places)


def _forget_messages(tx: Transaction, account: int, messages: set[int]) -> None:
    """Remove the messages that have no place any more."""
    gone, freed = bulk.forget_messages(tx, messages)
    tx.run(
        "UPDATE account_state SET bytes = bytes - ?, messages = messages - ? WHERE account = ?",
        freed,
        len(gone),
        account,
    )
    if search.read_indexed(tx, account) is not None:
        search.forget(tx, gone)


def _log(
    tx: Transaction, account: int, modseq: int, mailbox: int, kind: Kind, places: Sequence[Place]
) -> None:
    uids, messages = [place.uid for place in places], [place.message for place in places]
    changes.append(tx, account, modseq, mailbox, kind, uids, messages)


def _sizes(tx: Transaction, places: Sequence[Place]) -> dict[int, int]:
    sizes: dict[int, int] = {}
    for first, last in ranges({place.message for place in places}):
        sizes.update(tx.all("SELECT id, size FROM messages WHERE id >= ? AND id <= ?", first, last))
    return sizes
