"""Changes to places of messages: copy, move, flag, expunge. How they come: `arrivals`; how they are read: `reading`.

A message is what is shared: blob, structure, thread. A place is its stay in one mailbox, with its own UID and flags.
The last place of a message takes the message with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from mailwright.store import bulk, changes, search
from mailwright.store.arrivals import check_keywords, insert_places, take_uids
from mailwright.store.bulk import DELETED, SEEN, Counts, Marks
from mailwright.store.db.api import Transaction
from mailwright.store.model import Copied, Kind, Place
from mailwright.store.reading import _places, read_places
from mailwright.store.sets import ranges

MANY = 500  # places from which on marks are changed by SQL alone, if
CLOSE = 20  # so many or more lie side by side, on average, and
_KINDS = 20  # no more kinds of keywords are in use
_NEVER = (1 << 62) - 1  # no modseq is higher
_ALL = (1 << 31) - 1  # all flags there can be


class Changed(NamedTuple):
    """The answer to a change of flags."""

    places: list[Place]  # as they are now, those that were asked for and exist; none where they are MANY
    modseq: int | None  # None when nothing changed
    refused: list[int]  # UIDs changed after `unchanged_since` (RFC 7162 3.1.3)
    found: int  # how many were asked for, exist and were not refused


class _Wanted(NamedTuple):
    """What is to become of flags and keywords: the arguments of `store_flags`."""

    action: Literal["set", "add", "remove"]
    flags: int
    keywords: Sequence[str]
    kept: int
    keep_keywords: bool

    @property
    def rewords(self) -> bool:
        """Whether keywords may change."""
        return bool(self.keywords) or (self.action == "set" and not self.keep_keywords)

    def apply(self, old: Marks) -> Marks:
        """What becomes of these marks. Raises NotAllowed for too many keywords."""
        # Keywords are the same in any case (RFC 3501 2.3.2) and keep that in which they came first.
        words = {word.lower(): word for word in old.keywords.split()}
        given = {word.lower(): word for word in self.keywords}
        if self.action == "set":
            flags = self.flags & ~self.kept | old.flags & self.kept
            words = words if self.keep_keywords else given
        elif self.action == "add":
            flags, words = old.flags | self.flags, given | words
        else:
            flags, words = old.flags & ~self.flags, {key: words[key] for key in words if key not in given}
        new = Marks(int(flags), " ".join(sorted(words.values())))
        if new != old:
            check_keywords(new.keywords)
        return new


def copy(
    tx: Transaction, account: int, mailbox: int, uids: Sequence[int], target: int, *, now: int
) -> Copied:
    """Give the places a second one in `target`, with the same flags and internal date (RFC 3501 6.4.7).

    UIDs that are gone are passed over. Raises NoSuchMailbox.
    """
    places = read_places(tx, account, mailbox, uids)
    counts = bulk.count(places, bulk.read_octets(tx, account, mailbox, places))
    modseq = changes.next_modseq(tx, account)
    return _copy_places(tx, account, mailbox, places, counts, target, modseq, now)


def move(
    tx: Transaction, account: int, mailbox: int, uids: Sequence[int], target: int, *, now: int | None = None
) -> Copied:
    """Copy and expunge as one change (RFC 6851 3.3). `now` None keeps the date of saving. Raises NoSuchMailbox."""
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


def store_flags(
    tx: Transaction,
    account: int,
    mailbox: int,
    uids: Sequence[int],
    action: Literal["set", "add", "remove"],
    flags: int,
    keywords: Sequence[str] = (),
    *,
    unchanged_since: int | None = None,
    kept: int = 0,
    keep_keywords: bool = False,
) -> Changed:
    """Set, add or remove flags and keywords (RFC 3501 6.4.6, RFC 7162 3.1.3).

    To set leaves the flags of `kept`, and with `keep_keywords` all keywords, as they are. Raises NotAllowed for bad
    keywords.
    """
    check_keywords(" ".join(keywords))
    wanted = _Wanted(action, flags, keywords, kept, keep_keywords)
    if len(uids) > MANY:
        done = _store_many(tx, account, mailbox, list(ranges(uids)), wanted, unchanged_since)
        if done is not None:
            return done
    places = read_places(tx, account, mailbox, uids)
    refused: list[int] = []
    if unchanged_since is not None:
        refused = [place.uid for place in places if place.modseq > unchanged_since]
        places = [place for place in places if place.modseq <= unchanged_since]
    groups: dict[tuple[int, str], list[int]] = {}
    for place in places:
        uid, _, _, mask, words, _, _ = place
        groups.setdefault((mask, words), []).append(uid)
    to = {old: wanted.apply(Marks(*old)) for old in groups}
    groups = {old: group for old, group in groups.items() if to[old] != old}
    if not groups:
        return Changed(places, None, refused, len(places))
    modseq = changes.next_modseq(tx, account)
    bulk.mark(tx, account, mailbox, modseq, groups, to)
    _count_marks(tx, account, mailbox, modseq, groups, to)
    for n, place in enumerate(places):
        uid, message, _, mask, words, date, saved = place
        if (mask, words) in groups:
            places[n] = Place(uid, message, modseq, *to[mask, words], date, saved)
    touched = ranges(uid for uids in groups.values() for uid in uids)
    changes.append_flags(tx, account, modseq, mailbox, touched)
    return Changed(places, modseq, refused, len(places))


def _store_many(
    tx: Transaction,
    account: int,
    mailbox: int,
    spans: bulk.Spans,
    wanted: _Wanted,
    unchanged_since: int | None,
) -> Changed | None:
    """As `store_flags`, a statement for many places; None when they lie too much apart, or differ too much."""
    asked = sum([last - first + 1 for first, last in spans])
    if len(spans) > asked // CLOSE:
        return None
    # What is counted must not be changed by others meanwhile.
    tx.one(f"SELECT modseq FROM account_state WHERE account = ?{tx.dialect.for_update}", account)  # noqa: S608
    texts = None
    if wanted.rewords:
        used = bulk.read_keywords(tx, account, mailbox, spans)
        if len(used) > _KINDS:
            return None
        texts = {old: wanted.apply(Marks(0, old)).keywords for old in used}
    # Each flag is set, taken away or left, whatever the others are.
    change = bulk.Change(wanted.apply(Marks(_ALL, "")).flags, wanted.apply(Marks(0, "")).flags, texts)
    since = _NEVER if unchanged_since is None else unchanged_since
    refused = [] if since == _NEVER else bulk.read_newer(tx, account, mailbox, spans, since)
    counted = (change.on | ~change.stay) & (SEEN | DELETED) != 0
    before = bulk.count_marks(tx, account, mailbox, spans) if counted else None
    modseq, touched = None, []
    if bulk.would_change(tx, account, mailbox, spans, change, since):
        modseq = changes.next_modseq(tx, account)
        touched = bulk.mark_all(tx, account, mailbox, spans, change, modseq, since)
        changes.append_flags(tx, account, modseq, mailbox, touched)
    if before is None and touched == spans:  # all are there
        after = before = Counts(asked, 0, 0, 0)
    else:
        after = bulk.count_marks(tx, account, mailbox, spans)
    if modseq is not None:
        unseen, deleted = (
            (after.unseen - before.unseen, after.deleted - before.deleted) if before is not None else (0, 0)
        )
        _count_in_mailbox(tx, account, mailbox, modseq, unseen, deleted)
    return Changed([], modseq, refused, after.messages - len(refused))


def _count_marks(
    tx: Transaction,
    account: int,
    mailbox: int,
    modseq: int,
    groups: dict[tuple[int, str], list[int]],
    to: dict[tuple[int, str], Marks],
) -> None:
    """Count a change of marks in the mailbox."""
    unseen = deleted = 0
    for old, uids in groups.items():
        unseen += len(uids) * (_unseen(to[old].flags) - _unseen(old[0]))
        deleted += len(uids) * (_deleted(to[old].flags) - _deleted(old[0]))
    _count_in_mailbox(tx, account, mailbox, modseq, unseen, deleted)


def _count_in_mailbox(
    tx: Transaction, account: int, mailbox: int, modseq: int, unseen: int, deleted: int
) -> None:
    tx.run(
        "UPDATE mailboxes SET modseq = ?, unseen = unseen + ?, deleted = deleted + ? WHERE account = ? AND id = ?",
        modseq,
        unseen,
        deleted,
        account,
        mailbox,
    )


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


def _unseen(flags: int) -> int:
    return 0 if flags & SEEN else 1


def _deleted(flags: int) -> int:
    return 1 if flags & DELETED else 0
