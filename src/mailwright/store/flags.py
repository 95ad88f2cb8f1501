"""STORE: changes of the flags and keywords of places (RFC 3501 6.4.6, RFC 7162 3.1.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from mailwright.store import changes
from mailwright.store.arrivals import check_keywords
from mailwright.store.bulk import DELETED, SEEN, WITHIN, Spans
from mailwright.store.db.api import Transaction
from mailwright.store.marks import Marks, change_marks, find_marks, read_marks
from mailwright.store.model import Place
from mailwright.store.reading import read_places
from mailwright.store.sets import ranges

MANY: Final = 500  # places from which on they are not read one by one, if
CLOSE: Final = 20  # so many or more lie side by side, on average
_TOGETHER: Final = 20  # marks in one statement
_FEW: Final = 4  # marks that are counted at once
_PASSES: Final = 100  # marks from which on places are read once, rather than passed over for each _TOGETHER
_NEVER: Final = (1 << 62) - 1  # no modseq or UID is higher
_EVERY: Final = ((1, _NEVER),)


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

    def apply(self, old: Marks) -> Marks:
        """What becomes of these marks; done again, it changes nothing. Raises NotAllowed for too many keywords."""
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
        spans = list(ranges(uids))
        if len(spans) <= len(uids) // CLOSE:
            return _store_many(tx, account, mailbox, spans, wanted, unchanged_since)
    return _store_each(tx, account, mailbox, uids, wanted, unchanged_since)


def _store_each(
    tx: Transaction,
    account: int,
    mailbox: int,
    uids: Sequence[int],
    wanted: _Wanted,
    unchanged_since: int | None,
) -> Changed:
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
    found = find_marks(tx, account, mailbox, {to[old] for old in groups})
    tx.many(
        f"UPDATE places SET mark = ?, own_modseq = ? WHERE {WITHIN}",  # noqa: S608
        [
            (found[to[old]], modseq, account, mailbox, first, last)
            for old, group in groups.items()
            for first, last in ranges(group)
        ],
    )
    _count(
        tx, account, mailbox, modseq, [(len(group), old[0], to[old].flags) for old, group in groups.items()]
    )
    for n, place in enumerate(places):
        uid, message, _, mask, words, date, saved = place
        if (mask, words) in groups:
            places[n] = Place(uid, message, modseq, *to[mask, words], date, saved)
    touched = ranges(uid for group in groups.values() for uid in group)
    changes.append_flags(tx, account, modseq, mailbox, touched)
    return Changed(places, modseq, refused, len(places))


def _store_many(
    tx: Transaction,
    account: int,
    mailbox: int,
    spans: Spans,
    wanted: _Wanted,
    unchanged_since: int | None,
) -> Changed:
    """As `_store_each`, by marks: one that many places have, all of which are asked for, is changed itself."""
    # What is counted must not be changed by others meanwhile.
    tx.one(f"SELECT modseq FROM account_state WHERE account = ?{tx.dialect.for_update}", account)  # noqa: S608
    since = _NEVER if unchanged_since is None else unchanged_since
    marks = {mark: one for mark, one in read_marks(tx, account, mailbox).items() if one.modseq <= since}
    asked = _count_by_mark(tx, account, mailbox, spans, list(marks), since)
    refused = [] if since == _NEVER else _read_newer(tx, account, mailbox, spans, since)
    found = sum(asked.values())
    old = {mark: marks[mark].marks for mark in asked}
    to = {mark: wanted.apply(old[mark]) for mark in asked}
    to = {mark: new for mark, new in to.items() if new != old[mark]}
    if not to:
        return Changed([], None, refused, found)
    if len(to) == len(asked) and found == sum([last - first + 1 for first, last in spans]):
        touched = spans
    else:
        touched = _read_touched(tx, account, mailbox, spans, since, list(to))
    modseq = changes.next_modseq(tx, account)
    (messages,) = tx.one("SELECT messages FROM mailboxes WHERE account = ? AND id = ?", account, mailbox) or (
        0,
    )
    every = asked if messages == found else _count_by_mark(tx, account, mailbox, _EVERY, list(to), _NEVER)
    whole = {mark: new for mark, new in to.items() if asked[mark] == every[mark] and asked[mark] > MANY}
    change_marks(tx, account, mailbox, modseq, whole)
    _move(tx, account, mailbox, spans, since, modseq, {mark: to[mark] for mark in to if mark not in whole})
    _count(tx, account, mailbox, modseq, [(asked[mark], old[mark].flags, to[mark].flags) for mark in to])
    changes.append_flags(tx, account, modseq, mailbox, touched)
    return Changed([], modseq, refused, found)


def _count_by_mark(
    tx: Transaction, account: int, mailbox: int, spans: Spans, marks: Sequence[int], since: int
) -> dict[int, int]:
    """How many places in these spans have each of these marks, of those whose own modseq is not above `since`."""
    newer = "" if since == _NEVER else f" AND own_modseq <= {since}"
    counts: dict[int, int] = {}
    for first, last in spans if marks else ():
        params = (account, mailbox, first, last)
        if len(marks) <= _FEW:  # to group them takes longer
            sums = ", ".join(["sum(CASE mark WHEN ? THEN 1 ELSE 0 END)"] * len(marks))
            row = tx.one(f"SELECT {sums} FROM places WHERE {WITHIN}{newer}", *marks, *params)  # noqa: S608
            rows = list(zip(marks, row or (), strict=False))
        else:
            rows = tx.all(f"SELECT mark, count(*) FROM places WHERE {WITHIN}{newer} GROUP BY mark", *params)  # noqa: S608
        for mark, count in rows:
            counts[mark] = counts.get(mark, 0) + (count or 0)
    return {mark: counts[mark] for mark in marks if counts.get(mark)}


def _read_newer(tx: Transaction, account: int, mailbox: int, spans: Spans, since: int) -> list[int]:
    """The UIDs in these spans with a higher modseq, rising."""
    sql = f"SELECT uid FROM marked WHERE {WITHIN} AND modseq > ? ORDER BY uid"  # noqa: S608
    return [uid for first, last in spans for (uid,) in tx.all(sql, account, mailbox, first, last, since)]


def _read_touched(
    tx: Transaction, account: int, mailbox: int, spans: Spans, since: int, marks: list[int]
) -> Spans:
    """The UIDs in these spans whose marks change."""
    if len(marks) > _PASSES:
        return list(ranges([uid for uid, _ in _read_of(tx, account, mailbox, spans, since, set(marks))]))
    uids: list[int] = []
    for some in _portions(marks):
        sql = f"SELECT uid FROM places WHERE {WITHIN} AND own_modseq <= ? AND mark IN ({', '.join('?' * len(some))})"  # noqa: S608
        uids += [
            uid
            for first, last in spans
            for (uid,) in tx.all(sql, account, mailbox, first, last, since, *some)
        ]
    return list(ranges(uids))


def _read_of(
    tx: Transaction, account: int, mailbox: int, spans: Spans, since: int, marks: set[int]
) -> list[tuple[int, int]]:
    """The UIDs in these spans whose marks are among these, with them."""
    sql = f"SELECT uid, mark FROM places WHERE {WITHIN} AND own_modseq <= ?"  # noqa: S608
    return [
        (uid, mark)
        for first, last in spans
        for uid, mark in tx.all(sql, account, mailbox, first, last, since)
        if mark in marks
    ]


def _move(
    tx: Transaction,
    account: int,
    mailbox: int,
    spans: Spans,
    since: int,
    modseq: int,
    to: dict[int, Marks],
) -> None:
    """Give the places in these spans that have one of these marks another one."""
    found = find_marks(tx, account, mailbox, set(to.values()))
    if len(to) > _PASSES:
        groups: dict[int, list[int]] = {}
        for uid, mark in _read_of(tx, account, mailbox, spans, since, set(to)):
            groups.setdefault(mark, []).append(uid)
        tx.many(
            f"UPDATE places SET mark = ?, own_modseq = ? WHERE {WITHIN}",  # noqa: S608
            [
                (found[to[mark]], modseq, account, mailbox, first, last)
                for mark, uids in groups.items()
                for first, last in ranges(uids)
            ],
        )
        return
    for some in _portions(list(to)):
        cases = " ".join(["WHEN ? THEN ?"] * len(some))
        pairs = [number for mark in some for number in (mark, found[to[mark]])]
        tx.many(
            f"UPDATE places SET mark = CASE mark {cases} END, own_modseq = ?"  # noqa: S608
            f" WHERE {WITHIN} AND own_modseq <= ? AND mark IN ({', '.join('?' * len(some))})",
            [(*pairs, modseq, account, mailbox, first, last, since, *some) for first, last in spans],
        )


def _portions(marks: list[int]) -> list[list[int]]:
    return [marks[start : start + _TOGETHER] for start in range(0, len(marks), _TOGETHER)]


def _count(
    tx: Transaction, account: int, mailbox: int, modseq: int, changed: Sequence[tuple[int, int, int]]
) -> None:
    """Count a change in the mailbox: of so many places, from these flags to those."""
    unseen = sum([n * (_unseen(new) - _unseen(old)) for n, old, new in changed])
    deleted = sum([n * (_deleted(new) - _deleted(old)) for n, old, new in changed])
    tx.run(
        "UPDATE mailboxes SET modseq = ?, unseen = unseen + ?, deleted = deleted + ? WHERE account = ? AND id = ?",
        modseq,
        unseen,
        deleted,
        account,
        mailbox,
    )


def _unseen(flags: int) -> int:
    return 0 if flags & SEEN else 1


def _deleted(flags: int) -> int:
    return 1 if flags & DELETED else 0
