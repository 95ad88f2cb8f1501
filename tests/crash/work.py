"""What is done to a store while its disk fails, and the check that no word given was broken."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from support.accounts import prepared

from mailwright.store import arrivals, mailboxes, messages, reading
from mailwright.store.db.api import Database, Transaction
from mailwright.store.errors import TemporaryFailure
from mailwright.store.flags import store_flags
from mailwright.store.model import Flag

NOW = 1_700_000_000


class Work:
    """A small day of a mailbox, with a note of each thing that was acknowledged."""

    def __init__(self, db: Database, account: int, seed: int = 1) -> None:
        self.db = db
        self.account = account
        self.acknowledged: dict[int, bytes] = {}  # by UID in INBOX
        self.flagged: set[int] = set()
        self.refused = 0
        self._chance = random.Random(seed)

    async def run(self, after: Callable[[], object] = lambda: None) -> None:
        """Deliveries alone and together, a large message, flags, an expunge; `after` each step."""
        for step in (self._one, self._four, self._flag, self._large, self._expunge, self._one, self._four):
            await step()
            after()

    async def deliver(self, size: int = 3000) -> None:
        """Deliver a message and note it; a temporary failure is counted. Any other error is the test's failure."""
        content = self._chance.randbytes(size)
        try:
            message = await asyncio.to_thread(prepared, self.db, content)
            added = await self.db.write(arrivals.add, self.account, self._inbox, message, now=NOW)
        except TemporaryFailure:
            self.refused += 1
        else:
            self.acknowledged[added.uid] = content

    async def check(self) -> None:
        """What was acknowledged is read back, and nothing else is there."""
        found = await self.db.read(_contents, self.account, self._inbox)
        assert found == self.acknowledged
        flagged = await self.db.read(_flagged, self.account, self._inbox)
        assert flagged == self.flagged & set(found)

    async def open(self) -> Work:
        self._inbox = (await self.db.read(mailboxes.find_mailbox, self.account, "INBOX")).id
        return self

    async def _one(self) -> None:
        await self.deliver()

    async def _four(self) -> None:
        await asyncio.gather(*(self.deliver() for _ in range(4)))

    async def _large(self) -> None:
        await self.deliver(300_000)

    async def _flag(self) -> None:
        uids = list(self.acknowledged)[:2]
        try:
            await self.db.write(store_flags, self.account, self._inbox, uids, "add", Flag.FLAGGED)
        except TemporaryFailure:
            self.refused += 1
        else:
            self.flagged.update(uids)

    async def _expunge(self) -> None:
        uids = list(self.acknowledged)[:1]
        try:
            await self.db.write(messages.expunge, self.account, self._inbox, uids)
        except TemporaryFailure:
            self.refused += 1
        else:
            for uid in uids:
                del self.acknowledged[uid]


def _contents(tx: Transaction, account: int, inbox: int) -> dict[int, bytes]:
    return {
        place.uid: tx.blobs.read_whole(tx, _blob(tx, place.message))
        for place in reading.read_range(tx, account, inbox)
    }


def _flagged(tx: Transaction, account: int, inbox: int) -> set[int]:
    return {place.uid for place in reading.read_range(tx, account, inbox) if place.flags & Flag.FLAGGED}


def _blob(tx: Transaction, message: int) -> int:
    row = reading.read_message(tx, message, "blob")
    assert row is not None
    return int(row[0])
