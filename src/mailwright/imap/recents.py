"""Which messages no session was told of yet: `\\Recent` (RFC 3501 2.3.2)."""

from __future__ import annotations

from mailwright.imap.view import Key
from mailwright.store.db.api import Transaction
from mailwright.store.reading import read_range

_WINDOW = 500  # UIDs


class Recents:
    """The lowest UID of each mailbox that is recent to the next session that asks.

    Kept in memory: after a restart, what arrived since then is recent. Each process on one database knows its own
    sessions, so there a message is recent once in each (RFC 3501 2.3.2: in doubt it is).
    """

    __slots__ = ("_next", "_started")

    def __init__(self, started: float) -> None:
        self._next: dict[Key, int] = {}
        self._started = int(started)

    def find_first(self, tx: Transaction, key: Key, uidnext: int) -> int:
        """The first recent UID; of a mailbox not asked for before, the first that was saved since the start."""
        if key in self._next:
            return self.first(key, uidnext)
        high = uidnext
        while high > 1:
            low = max(1, high - _WINDOW)
            places = read_range(tx, *key, low, high - 1)
            if places and places[0].saved_at < self._started:
                return next((place.uid for place in places if place.saved_at >= self._started), high)
            high = low
        return 1

    def all_claimed(self, key: Key, uidnext: int) -> bool:
        """Whether no message below `uidnext` is recent to the next session, as far as is known."""
        return self._next.get(key, 0) >= uidnext

    def start(self, key: Key, first: int) -> None:
        """What `find_first` found, unless another session was quicker."""
        self._next.setdefault(key, first)

    def first(self, key: Key, uidnext: int) -> int:
        """The first recent UID; `uidnext` when none is."""
        return min(self._next.get(key, uidnext), uidnext)

    def claim(self, key: Key, uidnext: int) -> int:
        """The first recent UID, for a session that now tells its client of all below `uidnext`."""
        first = self.first(key, uidnext)
        self._next[key] = max(uidnext, self._next.get(key, 0))
        return first
