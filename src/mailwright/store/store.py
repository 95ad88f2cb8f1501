"""The store as the rooms above see it: operations, incoming messages, notifications."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from mailwright.store.blobs.api import BlobStore
from mailwright.store.db.api import Database, Item, Operation, P
from mailwright.store.incoming import IncomingMessage
from mailwright.store.learning import Learner
from mailwright.store.notify.api import Notifier

T = TypeVar("T")


class Store:
    """A database, its blobs and its notifier. `folder` takes the temporary files of large messages."""

    def __init__(
        self,
        db: Database,
        blobs: BlobStore,
        notify: Notifier,
        folder: Path,
        *,
        memory_per_message: int = 256 * 1024,
    ) -> None:
        self.db = db
        self.blobs = blobs
        self.notify = notify
        self._folder = folder
        self._memory = memory_per_message
        self._workers = ThreadPoolExecutor(2, thread_name_prefix="message")
        self._learner = Learner(db, blobs)

    async def start(self) -> None:
        """Open the database and bring its schema up to date. Raises StoreError when it is not for these blobs."""
        await self.db.start()
        await self.db.read(self.blobs.check_place)
        await self._learner.start()

    async def close(self) -> None:
        """Finish what waits, then close."""
        await self._learner.close()
        await asyncio.to_thread(self._workers.shutdown)
        await self.db.close()
        await self.notify.close()

    def read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        """See `Database.read`."""
        return self.db.read(operation, *args, **kwargs)

    def read_apart(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        """See `Database.read_apart`."""
        return self.db.read_apart(operation, *args, **kwargs)

    def read_briefly(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        """See `Database.read_briefly`."""
        return self.db.read_briefly(operation, *args, **kwargs)

    @property
    def pressed(self) -> bool:
        """See `Database.pressed`."""
        return self.db.pressed

    def look_up(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        """See `Database.look_up`."""
        return self.db.look_up(operation, *args, **kwargs)

    def modseq(self, account: int, *, exact: bool = False) -> int | None:
        """See `Database.modseq`."""
        return self.db.modseq(account, exact=exact)

    def write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        """See `Database.write`."""
        return self.db.write(operation, *args, **kwargs)

    def write_briefly(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        """See `Database.write_briefly`."""
        return self.db.write_briefly(operation, *args, **kwargs)

    def write_together(self, operation: Operation[[Sequence[Item]], Sequence[T]], item: Item) -> Awaitable[T]:
        """See `Database.write_together`."""
        return self.db.write_together(operation, item)

    def incoming(self) -> IncomingMessage:
        """A new message on its way in."""
        self._learner.notice()
        return IncomingMessage(self.blobs, self.db.write_now, self._workers, self._folder, self._memory)

    async def off_loop(self, function: Callable[..., T], *args: object) -> T:
        """Run blocking work on a worker thread."""
        return await asyncio.get_running_loop().run_in_executor(self._workers, function, *args)
