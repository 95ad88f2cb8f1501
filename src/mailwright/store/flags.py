"""STORE: changes of the flags and keywords of places (RFC 3501 6.4.6, RFC 7162 3.1.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from mailwright.store import changes, mailboxes
from mailwright.store.arrivals import check_keywords
from mailwright.store.bulk import DELETED, SEEN, WITHIN, Spans
from mailwright.store.db.api import Transaction
from mailwright.store.marks import Marks, change_marks, find_marks, read_marks
from mailwright.store.model import Place
from mailwright.store.reading import read_places
from mailwright.store.sets import ranges

MANY: Final = 500  # places from which on they are not read one by one, if
CLOSE: Final = 20  # so many or more lie side by side, on average
_MARKS: Final = 200  # of a mailbox, up to which it is done by marks
_TOGETHER: Final = 20  # marks in one statement
_FEW: Final = 4  # marks that are counted at once
_NEVER: Final = (1 << 62) - 1  # no modseq is higher


class Changed(NamedTuple):
    """The answer to a change of flags."""

    places: list[
        Place
    ]  # as they are now, those that were asked for and exist; none when it was done by marks
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
            if not self.keep_keywords:
                words = {key: words.get(key, word) for key, word in given.items()}
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
    changes.hold(tx, account)
    if len(uids) > MANY:
        spans = list(ranges(uids))
        if len(spans) <= len(uids) // CLOSE:
            done = _store_many(tx, account, mailbox, spans, wanted, unchanged_since)
            if done is not None:
                return done
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
    changed = [(len(group), old[0], to[old].flags) for old, group in groups.items()]
    _count(tx, account, mailbox, modseq, changed)
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
) -> Changed | None:
    """As `_store_each`, by marks: one that many places have, all of which are asked for, is changed itself.

    None where there are too many marks.
    """
    marks = read_marks(tx, account, mailbox)
    if len(marks) > _MARKS:
        return None
    asked = _Asked(tx, account, mailbox, spans, _NEVER if unchanged_since is None else unchanged_since)
    counts = asked.count_by_mark([mark for mark, one in marks.items() if one.modseq <= asked.since])
    refused = [] if unchanged_since is None else asked.read_newer()
    found = sum(counts.values())
    to = {mark: wanted.apply(marks[mark].marks) for mark in counts}
    to = {mark: new for mark, new in to.items() if new != marks[mark].marks}
    if not to:
        return Changed([], None, refused, found)
    all_change = len(to) == len(counts) and found == sum([last - first + 1 for first, last in spans])
    touched = spans if all_change else asked.read_uids(list(to))
    modseq = changes.next_modseq(tx, account)
    every, box = counts, mailboxes.get_mailbox(tx, account, mailbox)
    if box.messages != found:
        every = asked._replace(spans=((1, box.uidnext),), since=_NEVER).count_by_mark(list(to))
    whole = {mark: new for mark, new in to.items() if every[mark] == counts[mark] > MANY}
    change_marks(tx, account, mailbox, modseq, whole)
    asked.move({mark: new for mark, new in to.items() if mark not in whole}, modseq)
    changed = [(counts[mark], marks[mark].marks.flags, new.flags) for mark, new in to.items()]
    _count(tx, account, mailbox, modseq, changed)
    changes.append_flags(tx, account, modseq, mailbox, touched)
    return Changed([], modseq, refused, found)


class _Asked(NamedTuple):
    """The places that a change is about: in spans of UIDs, and not changed by themselves since a modseq."""

    tx: Transaction
    account: int
    mailbox: int
    spans: Spans
    since: int

    def count_by_mark(self, marks: Sequence[int]) -> dict[int, int]:
        """How many have each of these marks; those that none has are left out."""
        counts = dict.fromkeys(marks, 0)
        within, everywhere = self._where()
        for params in everywhere if marks else ():
            if len(marks) <= _FEW:  # to group them takes longer
                sums = ", ".join(["sum(CASE mark WHEN ? THEN 1 ELSE 0 END)"] * len(marks))
                row = self.tx.one(f"SELECT {sums} FROM places WHERE {within}", *marks, *params)  # noqa: S608
                rows = list(zip(marks, row or (), strict=True))
            else:
                rows = self.tx.all(f"SELECT mark, count(*) FROM places WHERE {within} GROUP BY mark", *params)  # noqa: S608
            for mark, count in rows:
                if mark in counts:
                    counts[mark] += count or 0
        return {mark: count for mark, count in counts.items() if count}

    def read_newer(self) -> list[int]:
        """The UIDs of those in the spans that were changed since, rising."""
        sql = f"SELECT uid FROM marked WHERE {WITHIN} AND modseq > ? ORDER BY uid"  # noqa: S608
        key = self.account, self.mailbox
        return [uid for span in self.spans for (uid,) in self.tx.all(sql, *key, *span, self.since)]

    def read_uids(self, marks: list[int]) -> Spans:
        """The UIDs of those that have one of these marks."""
        within, everywhere = self._where()
        uids: list[int] = []
        for some in _portions(marks):
            sql = f"SELECT uid FROM places WHERE {within} AND mark IN ({', '.join('?' * len(some))})"  # noqa: S608
            uids += [uid for params in everywhere for (uid,) in self.tx.all(sql, *params, *some)]
        return list(ranges(uids))

    def move(self, to: dict[int, Marks], modseq: int) -> None:
        """Give those that have one of these marks another one."""
        found = find_marks(self.tx, self.account, self.mailbox, set(to.values()))
        within, everywhere = self._where()
        for some in _portions(list(to)):
            cases = " ".join(["WHEN ? THEN ?"] * len(some))
            pairs = [number for mark in some for number in (mark, found[to[mark]])]
            self.tx.many(
                f"UPDATE places SET mark = CASE mark {cases} END, own_modseq = ?"  # noqa: S608
                f" WHERE {within} AND mark IN ({', '.join('?' * len(some))})",
                [(*pairs, modseq, *params, *some) for params in everywhere],
            )

    def _where(self) -> tuple[str, list[tuple[int, ...]]]:
        """The condition, and its parameters for each span."""
        key = self.account, self.mailbox
        if self.since == _NEVER:
            return WITHIN, [(*key, *span) for span in self.spans]
        return f"{WITHIN} AND own_modseq <= ?", [(*key, *span, self.since) for span in self.spans]


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
