"""Messages and their places in mailboxes: copy, move, flag, expunge, read. See `arrivals` for how they come.

A message is what is shared: blob, structure, thread. A place is its stay in one mailbox, with its own UID and flags.
The last place of a message takes the message with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import msgspec

from mailwright.store import bulk, changes, search
from mailwright.store.arrivals import PLACE, check_keywords, insert_places, take_uids
from mailwright.store.bulk import DELETED, SEEN, Counts, Marks
from mailwright.store.db.api import Row, Transaction
from mailwright.store.model import Copied, Kind, Place
from mailwright.store.sets import ranges

MANY = 500  # places from which on marks are changed by SQL alone, if
CLOSE = 20  # so many or more lie side by side, on average, and
_KINDS = 20  # no more kinds of keywords are in use
_NEVER = (1 << 62) - 1  # no modseq is higher
_ALL = (1 << 31) - 1  # all flags there can be
_TOGETHER = 50  # UIDs that lie apart, in one statement
_MARKS = ", ".join("?" * _TOGETHER)
_FEW = 8  # runs of UIDs that are read one by one, however close they lie
_PACKED = frozenset(("envelope", "bodystructure", "structure", "preview"))  # see `blobs.codec`
_NAMES = re.compile(r", (?![^()]*\))")  # between the columns of a list


class Changed(NamedTuple):
    """The answer to a change of flags."""

    places: list[Place]  # as they are now, those that were asked for and exist; none where they are MANY
    modseq: int | None  # None when nothing changed
    refused: list[int]  # UIDs changed after `unchanged_since` (RFC 7162 3.1.3)
    found: int  # how many were asked for, exist and were not refused


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
    if len(uids) > MANY:
        spans = list(ranges(uids))
        apply = partial(
            _apply, action=action, flags=flags, keywords=keywords, kept=kept, keep_keywords=keep_keywords
        )
        done = _store_many(tx, account, mailbox, spans, len(uids), apply, unchanged_since)
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
    to = {old: _apply(Marks(*old), action, flags, keywords, kept, keep_keywords) for old in groups}
    groups = {old: group for old, group in groups.items() if to[old] != old}
    if not groups:
        return Changed(places, None, refused, len(places))
    modseq = changes.next_modseq(tx, account)
    bulk.mark(tx, account, mailbox, modseq, groups, to)
    _count_marks(tx, account, mailbox, modseq, groups, to)
    touched: list[Place] = []
    for n, place in enumerate(places):
        uid, message, _, mask, words, date, saved = place
        if (mask, words) in groups:
            places[n] = Place(uid, message, modseq, *to[mask, words], date, saved)
            touched.append(place)
    _log(tx, account, modseq, mailbox, Kind.FLAGS, touched)
    return Changed(places, modseq, refused, len(places))


def _store_many(
    tx: Transaction,
    account: int,
    mailbox: int,
    spans: bulk.Spans,
    asked: int,
    apply: Callable[[Marks], Marks],
    unchanged_since: int | None,
) -> Changed | None:
    """As `store_flags`, a statement for many places; None when they lie too much apart, or differ too much."""
    if len(spans) > asked // CLOSE:
        return None
    # What is counted must not be changed by others meanwhile.
    tx.one(f"SELECT modseq FROM account_state WHERE account = ?{tx.dialect.for_update}", account)  # noqa: S608
    texts = {old: apply(Marks(0, old)).keywords for old in bulk.read_keywords(tx, account, mailbox, spans)}
    if len(texts) > _KINDS:
        return None
    same = all(old == new for old, new in texts.items())
    # Each flag is set, taken away or left, whatever the others are.
    change = bulk.Change(apply(Marks(_ALL, "")).flags, apply(Marks(0, "")).flags, None if same else texts)
    since = _NEVER if unchanged_since is None else unchanged_since
    refused = [] if since == _NEVER else bulk.read_newer(tx, account, mailbox, spans, since)
    before = bulk.count_marks(tx, account, mailbox, spans)
    found = before.messages - len(refused)
    if not bulk.would_change(tx, account, mailbox, spans, change, since):
        return Changed([], None, refused, found)
    modseq = changes.next_modseq(tx, account)
    bulk.mark_all(tx, account, mailbox, spans, change, modseq, since)
    after = bulk.count_marks(tx, account, mailbox, spans)
    unseen, deleted = after.unseen - before.unseen, after.deleted - before.deleted
    _count_in_mailbox(tx, account, mailbox, modseq, unseen, deleted)
    uids, messages = bulk.read_touched(tx, account, mailbox, spans, modseq)
    changes.append_ranges(tx, account, modseq, mailbox, Kind.FLAGS, uids, messages)
    return Changed([], modseq, refused, found)


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


# Reading


def read_uids(
    tx: Transaction, account: int, mailbox: int, first: int = 1, last: int | None = None
) -> Sequence[int]:
    """The UIDs from `first` to `last` (None: the end), rising."""
    key = (account, mailbox)
    row = tx.one(
        "SELECT (SELECT messages FROM mailboxes WHERE account = ? AND id = ?),"
        " (SELECT min(uid) FROM places WHERE account = ? AND mailbox = ?),"
        " (SELECT max(uid) FROM places WHERE account = ? AND mailbox = ?)",
        *key,
        *key,
        *key,
    )
    count, lowest, highest = row if row is not None else (0, None, None)
    if lowest is None:
        return []
    low, high = max(first, lowest), highest if last is None else min(last, highest)
    if highest - lowest + 1 == count:  # nothing was ever taken out
        return range(low, high + 1)
    packed = read_all(tx, *key, low, high, "string_agg(CAST(p.uid AS TEXT), ',')")[0][0]
    return sorted(msgspec.json.decode(f"[{packed or ''}]", type=list[int]))


def read_range(
    tx: Transaction, account: int, mailbox: int, first: int = 1, last: int | None = None
) -> list[Place]:
    """The places from UID `first` to `last` (None: the end), rising."""
    where = "account = ? AND mailbox = ? AND uid >= ?"
    if last is None:
        return _places(tx, where + " ORDER BY uid", account, mailbox, first)
    return _places(tx, where + " AND uid <= ? ORDER BY uid", account, mailbox, first, last)


def read_places(tx: Transaction, account: int, mailbox: int, uids: Sequence[int]) -> list[Place]:
    """The places of these UIDs that exist, rising by UID."""
    found: list[Place] = []
    runs = list(ranges(uids))
    if len(runs) > _FEW and runs[-1][1] - runs[0][0] < 4 * len(uids):
        wanted = set(uids)
        every = read_range(tx, account, mailbox, runs[0][0], runs[-1][1])
        return [place for place in every if place.uid in wanted]
    if len(runs) > _FEW and len(runs) * 4 > len(uids):
        ordered = sorted(set(uids))
        return [Place._make(row) for row in read_some_columns(tx, account, mailbox, ordered, PLACE)]
    for first, last in runs:
        found += read_range(tx, account, mailbox, first, last)
    return found


def read_joined(
    tx: Transaction, account: int, mailbox: int, first: int, last: int, columns: str
) -> Iterator[Row]:
    """Columns of places (`p.`) and their messages (`m.`) from UID `first` to `last`, rising; for bulk reading.

    `columns` is SQL and never holds what a peer sent.
    """
    return _read_joined(tx, columns, "p.uid >= ? AND p.uid <= ?", account, mailbox, first, last)


def read_some_joined(
    tx: Transaction, account: int, mailbox: int, uids: Sequence[int], columns: str
) -> Iterator[Row]:
    """As `read_joined`, for these UIDs alone, which rise and lie apart."""
    for some in _portions(uids):
        yield from _read_joined(tx, columns, f"p.uid IN ({_MARKS})", account, mailbox, *some)


def _portions(uids: Sequence[int]) -> Iterator[list[int]]:
    """The UIDs, as many at a time as a statement takes; the last ones repeat, so that it is always the same."""
    for start in range(0, len(uids), _TOGETHER):
        some = list(uids[start : start + _TOGETHER])
        yield some + some[-1:] * (_TOGETHER - len(some))


def _read_joined(tx: Transaction, columns: str, where: str, *params: int) -> Iterator[Row]:
    rows = tx.rows(
        f"SELECT {columns} FROM places p JOIN messages m ON m.id = p.message"  # noqa: S608
        f" WHERE p.account = ? AND p.mailbox = ? AND {where} ORDER BY p.uid",
        *params,
    )
    return unpacked(tx, rows, _NAMES.split(columns))


def read_columns(
    tx: Transaction, account: int, mailbox: int, first: int, last: int, columns: str
) -> list[Row]:
    """As `read_joined`, for columns of places (`p.`) alone."""
    return tx.all(
        f"SELECT {columns} FROM places p"  # noqa: S608
        " WHERE p.account = ? AND p.mailbox = ? AND p.uid >= ? AND p.uid <= ? ORDER BY p.uid",
        account,
        mailbox,
        first,
        last,
    )


def read_some_columns(
    tx: Transaction, account: int, mailbox: int, uids: Sequence[int], columns: str
) -> list[Row]:
    """As `read_some_joined`, for columns of places (`p.`) alone."""
    sql = (
        f"SELECT {columns} FROM places p"  # noqa: S608
        f" WHERE p.account = ? AND p.mailbox = ? AND p.uid IN ({_MARKS}) ORDER BY p.uid"
    )
    return [row for some in _portions(uids) for row in tx.all(sql, account, mailbox, *some)]


def read_all(
    tx: Transaction, account: int, mailbox: int, first: int, last: int, columns: str, *params: int
) -> list[Row]:
    """As `read_columns`, in no order: for aggregates of places (`p.`). `params` are those in `columns`."""
    return tx.all(
        f"SELECT {columns} FROM places p"  # noqa: S608
        " WHERE p.account = ? AND p.mailbox = ? AND p.uid >= ? AND p.uid <= ?",
        *params,
        account,
        mailbox,
        first,
        last,
    )


def read_newest_keywords(tx: Transaction, account: int, mailbox: int, count: int) -> set[str]:
    """The keywords of the last `count` places, as texts."""
    rows = tx.all(
        "SELECT DISTINCT keywords FROM"
        " (SELECT keywords FROM places WHERE account = ? AND mailbox = ? ORDER BY uid DESC LIMIT ?) AS newest",
        account,
        mailbox,
        count,
    )
    return {keywords for (keywords,) in rows}


def find_unseen(tx: Transaction, account: int, mailbox: int, nth: int, count: int) -> int:
    """Where the `nth` unseen place from the end stands, counted from the end; 0: not among the last `count`."""
    newest = "(SELECT uid, flags FROM places WHERE account = ? AND mailbox = ? ORDER BY uid DESC LIMIT ?) AS newest"
    row = tx.one(
        f"SELECT uid FROM {newest} WHERE (flags & 1) = 0 ORDER BY uid DESC LIMIT 1 OFFSET ?",  # noqa: S608
        account,
        mailbox,
        count,
        nth - 1,
    )
    if row is None:
        return 0
    found = tx.one(
        "SELECT count(*) FROM places WHERE account = ? AND mailbox = ? AND uid >= ?", account, mailbox, row[0]
    )
    return int(found[0]) if found is not None else 0


def read_message(tx: Transaction, message: int, columns: str) -> Row | None:
    """Columns of one message; `columns` is SQL and never holds what a peer sent."""
    row = tx.one(f"SELECT {columns} FROM messages WHERE id = ?", message)  # noqa: S608
    return None if row is None else next(unpacked(tx, (row,), _NAMES.split(columns)))


def unpacked(tx: Transaction, rows: Iterable[Row], columns: Sequence[str]) -> Iterator[Row]:
    """Rows that begin with these columns, with those that are kept packed as they were given."""
    names = [name.removeprefix("m.") for name in columns]
    packed = [place for place, name in enumerate(names) if name in _PACKED]
    if not packed:
        return iter(rows)
    values: list[Sequence[Any]] = list(zip(*rows, strict=True))
    for place in packed if values else ():
        values[place] = tx.blobs.codec.unpack_all(tx, values[place])
        if names[place] == "preview":
            values[place] = [text.decode() for text in values[place]]
    return zip(*values, strict=True)


def _places(tx: Transaction, where: str, *params: int) -> list[Place]:
    return [Place._make(row) for row in tx.all(f"SELECT {PLACE} FROM places WHERE {where}", *params)]  # noqa: S608


# Writing


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


def _apply(
    old: Marks,
    action: Literal["set", "add", "remove"],
    flags: int,
    keywords: Sequence[str],
    kept: int,
    keep_keywords: bool,
) -> Marks:
    """What a change makes of these marks. Raises NotAllowed for too many keywords."""
    # Keywords are the same in any case (RFC 3501 2.3.2) and keep that in which they came first.
    words = {word.lower(): word for word in old.keywords.split()}
    given = {word.lower(): word for word in keywords}
    if action == "set":
        new_flags = flags & ~kept | old.flags & kept
        words = words if keep_keywords else given
    elif action == "add":
        new_flags, words = old.flags | flags, given | words
    else:
        new_flags, words = old.flags & ~flags, {key: words[key] for key in words if key not in given}
    new = Marks(int(new_flags), " ".join(sorted(words.values())))
    if new != old:
        check_keywords(new.keywords)
    return new


def _unseen(flags: int) -> int:
    return 0 if flags & SEEN else 1


def _deleted(flags: int) -> int:
    return 1 if flags & DELETED else 0
