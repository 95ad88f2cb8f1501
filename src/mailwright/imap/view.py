"""What one session has been told of its mailbox: sequence numbers and UIDs, and the changes it does not know yet.

Sequence numbers are RFC 3501's only mutable names, so a session learns of an expunged message only when it may
(RFC 3501 7.4.1). A view keeps the UIDs from some message on: a session that never uses low sequence numbers never
loads them. The arrays are never changed in place, and views of one state share them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from mailwright.imap.syntax.sequence import Range, contains, join_ranges, slices

Key = tuple[int, int]  # account, mailbox
_NONE: Final[frozenset[int]] = frozenset()
_EMPTY: Final[array[int]] = array("I")


class Pool:
    """The arrays of UIDs in use, by the state of the mailbox they show."""

    __slots__ = ("_arrays",)

    def __init__(self) -> None:
        self._arrays: WeakValueDictionary[tuple[Key, int, int, int], array[int]] = WeakValueDictionary()

    def get(self, key: tuple[Key, int, int, int]) -> array[int] | None:
        return self._arrays.get(key)

    def share(self, key: tuple[Key, int, int, int], uids: array[int]) -> array[int]:
        """The array kept under this key: an equal older one, or this."""
        return self._arrays.setdefault(key, uids)


class Run(NamedTuple):
    """Messages that stand side by side: the sequence number of the first, and the UIDs."""

    number: int
    uids: array[int]


def window_of_runs(runs: list[Run], partial: Range) -> list[Run]:
    """The messages at these places of the runs, counted from 1, or from the end by -1 (RFC 9394 3)."""
    total = sum([len(run.uids) for run in runs])
    low, high = abs(partial[0]), abs(partial[1])
    if partial[0] < 0:
        low, high = total - high + 1, total - low + 1
    found = []
    place = 1  # of the run's first message
    for run in runs:
        start = max(0, low - place)
        uids = run.uids[start : max(0, high - place + 1)]
        if uids:
            found.append(Run(run.number + start, uids))
        place += len(run.uids)
    return found


class Updates(NamedTuple):
    """What to tell the client, in this order.

    `expunged` holds sequence numbers, falling, so that each is right when it is sent; `vanished` their UIDs, rising;
    `arrived` UIDs; `changed` pairs of sequence number and UID, rising, whose flags are to be sent.
    """

    expunged: list[int]
    vanished: list[int]
    arrived: tuple[int, ...]
    changed: list[tuple[int, int]]


class View:
    """`modseq` is the account's modseq up to which changes were noted; `uidnext` above all UIDs noted."""

    __slots__ = (
        "_added",
        "_base",
        "_changed",
        "_expunged",
        "_lost",
        "_pool",
        "_uids",
        "key",
        "modseq",
        "recents",
        "uidnext",
    )

    def __init__(self, key: Key, pool: Pool, count: int, uidnext: int, modseq: int) -> None:
        self.key = key
        self.modseq = modseq
        self.uidnext = uidnext
        self.recents: tuple[Range, ...] = ()  # UIDs that are \Recent in this session
        self._pool = pool
        self._base = count  # messages before the first of `_uids`
        self._uids = _EMPTY
        self._added: tuple[int, ...] = ()  # noted, not told
        self._expunged: frozenset[int] = _NONE
        self._lost = 0  # the modseq of the first of these
        self._changed: frozenset[int] = _NONE

    @property
    def count(self) -> int:
        """Messages, as the client knows."""
        return self._base + len(self._uids)

    @property
    def has_news(self) -> bool:
        return bool(self._added or self._expunged or self._changed)

    @property
    def has_expunged(self) -> bool:
        """Whether messages are gone that the client was not told of."""
        return bool(self._expunged)

    @property
    def complete(self) -> int:
        """The modseq up to which the client knows of all messages that are gone (RFC 7162 3.2)."""
        return self._lost - 1 if self._expunged else self.modseq

    # What the store did

    def note_arrived(self, uids: Iterable[int]) -> None:
        added = [uid for uid in uids if uid >= self.uidnext]
        if added:
            self._added = (*self._added, *added)
            self.uidnext = added[-1] + 1

    def note_expunged(self, uids: Iterable[int], modseq: int) -> None:
        gone = set(uids)
        if self._added:
            untold = gone.intersection(self._added)
            if untold:
                self._added = tuple([uid for uid in self._added if uid not in untold])
                gone -= untold
        if not self._expunged:
            self._lost = modseq
        self._expunged = self._expunged.union(gone)
        self._changed = self._changed.difference(gone)

    def note_flags(self, uids: Iterable[int]) -> None:
        self._changed = self._changed.union(uids).difference(self._expunged)

    def forget_flags(self, uids: Iterable[int]) -> None:
        """The client was just told the flags of these."""
        if self._changed:
            self._changed = self._changed.difference(uids)

    # Loading

    def missing(self, lowest: int) -> bool:
        """Whether UIDs from `lowest` on must be loaded before they can be used."""
        return self._base > 0 and (not self._uids or lowest < self._uids[0])

    def missing_number(self, lowest: int) -> bool:
        """Whether sequence numbers from `lowest` on must be loaded before they can be used."""
        return lowest <= self._base

    def adopt(self) -> bool:
        """Load all UIDs from another view of this state, if there is one."""
        if self._added or self._expunged:
            return False
        found = self._pool.get((self.key, self.uidnext, self.count, 0))
        if found is None:
            return False
        self._base, self._uids = 0, found
        return True

    def load(self, stored: Sequence[int], lowest: int) -> None:
        """Take all UIDs from `lowest` on that the store has in the state that was noted last, rising."""
        uids: Iterable[int] = stored
        if self._added:
            added = set(self._added)
            uids = [uid for uid in uids if uid not in added]
        if self._expunged:
            uids = sorted([*uids, *[uid for uid in self._expunged if uid >= lowest]])
        loaded = array("I", uids)
        self._base = self.count - len(loaded) if lowest > 1 else 0
        self._uids = loaded
        self._share()

    def _state(self, count: int) -> tuple[Key, int, int, int]:
        return (self.key, self.uidnext, count, self._base)

    def _share(self) -> None:
        if not self._added and not self._expunged:
            self._uids = self._pool.share(self._state(self.count), self._uids)

    # Numbers

    def number(self, uid: int) -> int:
        """The sequence number of a UID; 0 when the client knows no such message, or it is not loaded."""
        index = bisect_left(self._uids, uid)
        if index < len(self._uids) and self._uids[index] == uid:
            return self._base + index + 1
        return 0

    def numbers(self, uids: Sequence[int]) -> list[int]:
        """The sequence numbers of UIDs in any order, without those that `number` does not find."""
        known, base = self._uids, self._base
        count = len(known)
        if not count:
            return []
        first, last = known[0], known[count - 1]
        if last - first + 1 == count:  # no gaps
            less = first - base - 1
            return [uid - less for uid in uids if first <= uid <= last]
        if len(uids) < count // 20:
            return [number for uid in uids if (number := self.number(uid))]
        by_uid = dict(zip(known, range(base + 1, base + count + 1), strict=True))
        return [by_uid[uid] for uid in uids if uid in by_uid]

    def runs_of_numbers(self, ranges: Iterable[Range]) -> list[Run]:
        """The loaded messages with these sequence numbers."""
        found = []
        for low, high in ranges:
            start = max(0, low - 1 - self._base)
            uids = self._uids[start : max(0, high - self._base)]
            if uids:
                found.append(Run(self._base + start + 1, uids))
        return found

    def runs_of_uids(self, ranges: Iterable[Range]) -> list[Run]:
        """The loaded messages with these UIDs."""
        return [
            Run(self._base + start + 1, self._uids[start:stop]) for start, stop in slices(ranges, self._uids)
        ]

    def last_uid(self) -> int:
        """The highest UID the client knows, 0 in an empty mailbox; the last message must be loaded."""
        return self._uids[-1] if self._uids else 0

    def is_recent(self, uid: int) -> bool:
        return bool(self.recents) and contains(self.recents, uid)

    # Telling

    def lowest_news(self, expunge: bool) -> int:
        """The lowest UID whose sequence number the next `take_updates` needs; 0 when it needs none."""
        waiting = self._changed | self._expunged if expunge else self._changed
        return min(waiting) if waiting else 0

    def take_updates(self, expunge: bool, flags: bool = True) -> Updates:
        """What is to be told now; EXPUNGE only with `expunge`, flags only with `flags`.

        The UIDs from `lowest_news` on must be loaded.
        """
        expunged: list[int] = []
        vanished: list[int] = []
        uids = self._uids
        before = self.count
        if expunge and self._expunged:
            vanished = sorted([uid for uid in self._expunged if self.number(uid)])
            expunged = [self.number(uid) for uid in reversed(vanished)]
            gone = self._expunged
            self._expunged = _NONE
        else:
            gone = _NONE
        added = self._added
        self._added = ()
        if gone or added:
            count = before - len(expunged) + len(added)
            shared = None if self._expunged else self._pool.get(self._state(count))
            if shared is None:
                kept = array("I", [uid for uid in uids if uid not in gone]) if gone else uids[:]
                kept.extend(added)
                shared = kept
            self._uids = shared
            self._share()
        changed: list[tuple[int, int]] = []
        if flags and self._changed:
            changed = sorted([(number, uid) for uid in self._changed if (number := self.number(uid))])
            self._changed = _NONE
        return Updates(expunged, vanished, added, changed)

    def claim_recent(self, low: int, high: int) -> None:
        """UIDs from `low` to `high` are \\Recent in this session."""
        self.recents = tuple(join_ranges([*self.recents, (low, high)]))
