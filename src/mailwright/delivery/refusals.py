"""What was refused, kept for those who ask why: written a moment later and many at once, as no promise was made."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Final

from mailwright.delivery.reception import Reception, keep_all
from mailwright.store.errors import StoreError
from mailwright.store.store import Store

log = logging.getLogger(__name__)

DELAY: Final = 1.0  # seconds between a refusal and its record
MOST: Final = 500  # in so much time
MOST_OF_ONE: Final = 20  # in so much time, from one address: a flood must not push out the others


class Refusals:
    """Collects records of refusals. Only from the event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[Reception] = []
        self._of_peer: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None

    def note(self, refusal: Reception) -> None:
        """Keep a record soon; it is dropped when there are too many."""
        address = refusal.peer.rpartition(":")[0]
        if len(self._waiting) >= MOST or self._of_peer[address] >= MOST_OF_ONE:
            return
        self._of_peer[address] += 1
        self._waiting.append(refusal)
        if self._task is None:
            self._task = asyncio.create_task(self._flush_soon())

    async def _flush_soon(self) -> None:
        await asyncio.sleep(DELAY)
        self._task = None
        await self.flush()

    async def flush(self) -> None:
        """Write what waits. Raises nothing."""
        waiting, self._waiting = self._waiting, []
        self._of_peer.clear()
        if not waiting:
            return
        try:
            await self._store.write(keep_all, waiting, "refusals")
        except StoreError as error:
            log.warning("the records of %d refusals were not kept: %s", len(waiting), error)

    async def close(self) -> None:
        """Write what waits, and end."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        await self.flush()
