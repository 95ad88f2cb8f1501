"""What happened in each account lately, and how its mailboxes are now, read once from the store for all sessions."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Set
from contextlib import suppress
from itertools import takewhile
from typing import Final, NamedTuple

from mailwright.imap.selected import News, read_news
from mailwright.imap.view import Key
from mailwright.store import changes
from mailwright.store.acl import Access
from mailwright.store.bulk import SEEN
from mailwright.store.db.api import FEW, Transaction
from mailwright.store.errors import NoSuchMailbox
from mailwright.store.mailboxes import get_mailbox
from mailwright.store.model import Change, Kind, Mailbox, Place
from mailwright.store.reading import read_places
from mailwright.store.sets import unpack_ranges
from mailwright.store.store import Store

_MAX_ACCOUNTS: Final = 200
_MAX_CHANGES: Final = 200  # of one account that are kept, and
_MAX_OCTETS: Final = 64 * 1024  # in their sets
_MAX_BOXES: Final = 50  # mailboxes of one account that are kept
_FEW: Final = 20  # places that one change touched and that are read along with it


_TOUCHING: Final = (Kind.FLAGS, Kind.EXPUNGED)  # what changes places that were there
_NAMING: Final = (Kind.MAILBOX, Kind.GONE)  # what may give a name to another mailbox


class FirstUnseen(NamedTuple):
    """The first unseen message of a mailbox; both are 0 when it lies too far back."""

    uid: int
    number: int  # its sequence number


class Box(NamedTuple):
    """A mailbox as it was when its account was at `modseq`, with its first unseen message if that was looked for."""

    access: Access
    modseq: int
    unseen: FirstUnseen | None = None


class Heard(NamedTuple):
    """All changes after the modseq that was asked about, and the places whose flags they changed, when they are few."""

    modseq: int
    changes: list[Change]
    places: list[tuple[int, Place]]  # each behind its mailbox
    boxes: dict[int, Mailbox]  # those that were asked for and changed, as they are now


class _Log:
    """The changes after modseq `floor`, up to `modseq`. `places` and `boxes` are as they were then."""

    __slots__ = ("_octets", "begun", "boxes", "changes", "done", "floor", "modseq", "places", "reading")

    def __init__(self, modseq: int) -> None:
        self.floor = self.modseq = modseq
        self.changes: deque[Change] = deque()
        self._octets = 0
        self.places: dict[tuple[int, int], Place] = {}  # by mailbox and UID
        self.boxes: dict[str, Box] = {}  # by what a client called them
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
        self._renew_boxes(heard)

    def _renew_boxes(self, heard: Heard) -> None:
        if any(change.kind in _NAMING for change in heard.changes):
            self.boxes.clear()
        touched = {change.mailbox: change.modseq for change in heard.changes}
        for name, box in list(self.boxes.items()):
            mailbox = box.access.mailbox.id
            if touched.get(mailbox, 0) <= box.modseq:
                continue
            if mailbox in heard.boxes:
                unseen = box.unseen if _leaves_first_unseen(box, heard) else None
                self.boxes[name] = Box(
                    box.access._replace(mailbox=heard.boxes[mailbox]), heard.modseq, unseen
                )
            else:
                del self.boxes[name]

    def _forget_places(self, change: Change) -> None:
        for first, last in unpack_ranges(change.uids):
            if last - first >= _FEW:
                self.places.clear()
                return
            for uid in range(first, last + 1):
                self.places.pop((change.mailbox, uid), None)

    def since(self, modseq: int, mailbox: int) -> list[Change]:
        return [change for change in self.newer(modseq) if change.mailbox == mailbox][::-1]

    def newer(self, modseq: int) -> Iterator[Change]:
        """The changes after `modseq`, the last one first."""
        return takewhile(lambda change: change.modseq > modseq, reversed(self.changes))


def _leaves_first_unseen(box: Box, heard: Heard) -> bool:
    """Whether the first unseen message of a mailbox is after these changes the one that it was."""
    unseen, mailbox = box.unseen, box.access.mailbox.id
    if unseen is None:
        return False
    flags = {place.uid: place.flags for number, place in heard.places if number == mailbox}
    for change in heard.changes:
        if change.mailbox != mailbox or change.modseq <= box.modseq or change.kind == Kind.ARRIVED:
            continue
        if change.kind != Kind.FLAGS or not unseen.uid:
            return False
        for first, last in unpack_ranges(change.uids):
            if first > unseen.uid:
                continue
            if last - first >= _FEW:
                return False
            for uid in range(first, min(last, unseen.uid) + 1):
                if uid not in flags or (flags[uid] & SEEN == 0) != (uid == unseen.uid):
                    return False
    return True


def _octets(change: Change) -> int:
    return len(change.uids) + len(change.messages)


class Journal:
    """The logs of the accounts that sessions ask about."""

    __slots__ = ("_logs", "_store")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._logs: dict[int, _Log] = {}

    async def news(self, key: Key, since: int, heard: int, *, exact: bool = False) -> News | None:
        """What happened in a mailbox after `since`, at least up to the modseq `heard`; 0: up to now. None: nothing.

        With `exact` now is what a read would find: see `Database.modseq`.
        """
        account, mailbox = key
        log = self._log(account, since)
        if since >= log.floor:
            await self._follow(log, account, heard, exact=exact)
        if since < log.floor:
            return await self._store.read(read_news, account, mailbox, since)
        if since >= log.modseq:
            return None
        return News(log.modseq, log.since(since, mailbox), [], 0)

    async def box(self, account: int, name: str) -> Box | None:
        """The account's own mailbox of this name as it is now, when that is known without asking the store for it."""
        log = self._logs.get(account)
        if log is None or name not in log.boxes:
            return None
        await self._follow(log, account, 0)
        box = log.boxes.get(name)
        if box is None or box.modseq >= log.modseq:
            return box
        return Box(box.access, log.modseq, box.unseen)

    def keep(self, name: str, box: Box) -> None:
        """Know a mailbox from now on, of whom whoever calls it so is the owner."""
        account, mailbox = box.access.account, box.access.mailbox.id
        log = self._log(account, box.modseq)
        if box.modseq < log.floor:
            return
        if any(change.mailbox == mailbox or change.kind in _NAMING for change in log.newer(box.modseq)):
            return
        if len(log.boxes) >= _MAX_BOXES:
            del log.boxes[next(iter(log.boxes))]
        log.boxes[name] = box

    def _log(self, account: int, since: int) -> _Log:
        log = self._logs.get(account)
        if log is None:
            if len(self._logs) >= _MAX_ACCOUNTS:
                del self._logs[next(iter(self._logs))]
            log = self._logs[account] = _Log(since)
        return log

    async def _follow(self, log: _Log, account: int, heard: int, *, exact: bool = False) -> None:
        """Bring a log up to the modseq `heard`; 0: up to now."""
        if not heard or heard > log.modseq:
            heard = self._store.modseq(account, exact=exact) or heard
        before = log.begun  # what was asked before now may know too little
        while log.done <= before and (not heard or log.modseq < heard):
            if log.reading is None:
                log.reading = asyncio.ensure_future(self._read(log, account, heard))
            await asyncio.shield(log.reading)

    async def _read(self, log: _Log, account: int, heard: int) -> None:
        log.begun += 1
        try:
            known = {box.access.mailbox.id for box in log.boxes.values()}
            read = self._store.read_briefly if heard and heard - log.modseq <= FEW else self._store.read
            log.add(await read(read_heard, account, log.modseq, known))
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


def read_heard(tx: Transaction, account: int, since: int, known: Set[int]) -> Heard:
    """What happened in an account after `since`; of the mailboxes that are `known` it tells how they are now."""
    modseq = changes.read_modseq(tx, account)
    found = changes.read_changes(tx, account, since) if modseq > since else []
    places: list[tuple[int, Place]] = []
    boxes: dict[int, Mailbox] = {}
    for mailbox in known & {change.mailbox for change in found}:
        with suppress(NoSuchMailbox):
            boxes[mailbox] = get_mailbox(tx, account, mailbox)
    for change in found:
        if change.kind == Kind.FLAGS and len(change.uids) < 8 * _FEW:
            spans = list(unpack_ranges(change.uids))
            if sum([high - low + 1 for low, high in spans]) <= _FEW:
                uids = [uid for low, high in spans for uid in range(low, high + 1)]
                places += [
                    (change.mailbox, place) for place in read_places(tx, account, change.mailbox, uids)
                ]
    return Heard(modseq, found, places, boxes)
