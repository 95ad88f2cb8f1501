"""Notification within the process that serves a SQLite file, and of what other processes write to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import islice
from typing import Final

from mailwright.store.db.api import Database, Transaction
from mailwright.store.errors import StoreError
from mailwright.store.notify.api import Subscriber
from mailwright.store.notify.local import LocalNotifier

log = logging.getLogger(__name__)

_TOGETHER: Final = 500  # accounts looked up at a time


class FileNotifier(LocalNotifier):
    """As `LocalNotifier`. When others wrote, which they do not tell, all that is subscribed to is looked up."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[int, int] = {}  # of accounts that are subscribed to, what was last told
        self._task: asyncio.Task[None] | None = None
        self._again = False

    def subscribe(self, account: int, subscriber: Subscriber) -> Callable[[], None]:
        unsubscribe = super().subscribe(account, subscriber)

        def forget() -> None:
            unsubscribe()
            if not self.has_subscribers(account):
                self._told.pop(account, None)

        return forget

    def publish(self, account: int, modseq: int) -> None:
        if self.has_subscribers(account):
            self._told[account] = modseq
            super().publish(account, modseq)

    def others_wrote(self, db: Database) -> None:
        """Look what they changed, and tell it."""
        self._again = True
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._catch_up(db))

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()

    async def _catch_up(self, db: Database) -> None:
        try:
            while self._again:
                self._again = False
                subjects = iter(self.subjects())
                while some := list(islice(subjects, _TOGETHER)):
                    for account, modseq in await db.read(read_states, some):
                        if modseq > self._told.get(account, -1):
                            self.publish(account, modseq)
                    for subject in some:
                        if subject <= 0:
                            self.publish(subject, 0)
        except StoreError as error:
            log.warning("what another process wrote is told late: %s", error)
        finally:
            self._task = None


def read_states(tx: Transaction, accounts: list[int]) -> list[tuple[int, int]]:
    """Where accounts are: their modseq."""
    places = ", ".join("?" * len(accounts))
    sql = f"SELECT account, modseq FROM account_state WHERE account IN ({places})"  # noqa: S608
    return [(account, modseq) for account, modseq in tx.all(sql, *accounts)]
