"""What happened in each account lately, read once from the store for all sessions that want to know."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import takewhile
from typing import Final, NamedTuple

from mailwright.imap.selected import News, read_news
from mailwright.imap.view import Key
from mailwright.store import changes
from mailwright.store.db.api import Transaction
from mailwright.store.model import Change, Kind, Place
from mailwright.store.reading import read_places
from mailwright.store.sets import unpack_ranges
from mailwright.store.store import Store

_MAX_ACCOUNTS: Final = 200
_MAX_CHANGES: Final = 200  # of one account that are kept, and
_MAX_OCTETS: Final = 64 * 1024  # in their sets
_FEW: Final = 20  # places that one change touched and that are read along with it


_TOUCHING: Final = (Kind.FLAGS, Kind.EXPUNGED)  # what changes places that were there


class Heard(NamedTuple):
    """All changes after the modseq that was asked about, and the places whose flags they changed, when they are few."""

    modseq: int
    changes: list[Change]
    places: list[tuple[int, Place]]  # each behind its mailbox


class _Log:
    """The changes after modseq `floor`, up to `modseq`. `places` are as they were then."""

    __slots__ = ("_octets", "begun", "changes", "done", "floor", "modseq", "places", "reading")

    def __init__(self, modseq: int) -> None:
        self.floor = self.modseq = modseq
        self.changes: deque[Change] = deque()
        self._octets = 0
        self.places: dict[tuple[int, int], Place] = {}  # by mailbox and UID
        self.reading: asyncio.Task[None] | None = None
        self.begun = self.done = 0  # how many times the store was asked, and had answered

    def add(self, heard: Heard) -> None:
        for change in heard.changes:
            self.changes.append(change)
            self._octets += _octets(change)
            if change.kind in _TOUCHING:
                self._forget_places(change)
        while len(self.changes) > _MAX_CHANGES or self._octets > _MAX_OCTETS:
            oldest = self.changes.popleft()
            self._octets -= _octets(oldest)
            self.floor = oldest.modseq
        self.modseq = heard.modseq
        if len(self.places) > _MAX_CHANGES:
            self.places.clear()
        self.places.update({(mailbox, place.uid): place for mailbox, place in heard.places})

    def _forget_places(self, change: Change) -> None:
        for first, last in unpack_ranges(change.uids):
            if last - first >= _FEW:
                self.places.clear()
                return
            for uid in range(first, last + 1):
                self.places.pop((change.mailbox, uid), None)

    def since(self, modseq: int, mailbox: int) -> list[Change]:
        newer = takewhile(lambda change: change.modseq > modseq, reversed(self.changes))
        return [change for change in newer if change.mailbox == mailbox][::-1]


def _octets(change: Change) -> int:
    return len(change.uids) + len(change.messages)


class Journal:
    """The logs of the accounts that sessions ask about."""

    __slots__ = ("_logs", "_store")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._logs: dict[int, _Log] = {}

    async def news(self, key: Key, since: int, heard: int) -> News:
        """What happened in a mailbox after `since`, at least up to the modseq `heard`; 0: up to now."""
        account, mailbox = key
        log = self._logs.get(account)
        if log is None:
            if len(self._logs) >= _MAX_ACCOUNTS:
                del self._logs[next(iter(self._logs))]
            log = self._logs[account] = _Log(since)
        before = log.begun  # what was asked before now may know too little
        while since >= log.floor and log.done <= before and (not heard or log.modseq < heard):
            if log.reading is None:
                log.reading = asyncio.ensure_future(self._read(log, account))
            await asyncio.shield(log.reading)
        if since < log.floor:
            return await self._store.read(read_news, account, mailbox, since)
        return News(max(log.modseq, since), log.since(since, mailbox), [], 0)

    async def _read(self, log: _Log, account: int) -> None:
        log.begun += 1
        try:
            log.add(await self._store.read(read_heard, account, log.modseq))
            log.done = log.begun
        finally:
            log.reading = None

    def places(self, key: Key, uids: list[int], modseq: int) -> list[Place] | None:
        """The places of these UIDs as they were at `modseq` or later; None when the store must be asked."""
        account, mailbox = key
        log = self._logs.get(account)
        if log is None or log.modseq < modseq:
            return None
        found = [log.places.get((mailbox, uid)) for uid in uids]
        known = [place for place in found if place is not None]
        return known if len(known) == len(found) else None


def read_heard(tx: Transaction, account: int, since: int) -> Heard:
    """What happened in an account after `since`."""
    modseq = changes.read_modseq(tx, account)
    found = changes.read_changes(tx, account, since) if modseq > since else []
    places: list[tuple[int, Place]] = []
    for change in found:
        if change.kind == Kind.FLAGS and len(change.uids) < 8 * _FEW:
            spans = list(unpack_ranges(change.uids))
            if sum([high - low + 1 for low, high in spans]) <= _FEW:
                uids = [uid for low, high in spans for uid in range(low, high + 1)]
                places += [
                    (change.mailbox, place) for place in read_places(tx, account, change.mailbox, uids)
                ]
    return Heard(modseq, found, places)
