"""SQLite through apsw: one writer with group commit, a small pool of readers, one file in WAL mode.

All writes that wait go into one transaction, and one fsync answers them all. A thread runs and commits it; but what is
brief the event loop runs itself, so that the thread only commits: two threads that take turns with the interpreter for
each statement would wait for each other longer than the statements take.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, Final

import apsw

from mailwright.store import changes, schema
from mailwright.store.blobs.api import BlobStore
from mailwright.store.db.api import Item, Operation, P, T
from mailwright.store.db.checkpoints import Checkpointer
from mailwright.store.db.file import SQLiteFile, SQLiteTransaction, as_store_error, close
from mailwright.store.db.gather import Gatherer
from mailwright.store.db.jobs import Changed, Job, Transactions
from mailwright.store.db.processes import Processes
from mailwright.store.errors import StoreFailed

log = logging.getLogger(__name__)

_BATCH: Final = 256  # operations in one transaction at most
_BRIEF: Final = 64  # operations that the event loop runs itself at most
_LOOK: Final = 1.0  # seconds between two looks whether another process has written, and
_LOOK_ASKED: Final = 0.05  # between two while somebody asks
_MAX_MODSEQS: Final = 10_000  # accounts whose counters are remembered


class SQLiteDatabase(SQLiteFile):
    """The embedded database. `on_change(account, modseq)` is called in the event loop after each commit.

    `on_others()` is called there when another process, such as a command, has written: within a second.
    """

    def __init__(
        self,
        path: Path | str,
        blobs: BlobStore,
        *,
        on_change: Callable[[int, int], None] | None = None,
        on_others: Callable[[], None] | None = None,
        readers: int = 3,
        vfs: str | None = None,
        busy_timeout: float = 5.0,
    ) -> None:
        super().__init__(path, blobs, readers=readers, vfs=vfs, busy_timeout=busy_timeout)
        self._on_change = on_change
        self._on_others = on_others
        self._processes = Processes(self._path, blobs, self.read) if vfs is None else None
        self._version = 0  # as the writer's connection last saw it: others' commits change it, its own do not
        self._look_due = False
        self._looked_until = 0.0  # until when that need not be done again
        self._modseqs: dict[int, int] = {}  # of accounts, unless another process has written since
        self._waiting: list[Job] = []
        self._busy = False  # the thread has the connection
        self._work: queue.SimpleQueue[tuple[list[Job], Callable[[], Changed]] | None] = queue.SimpleQueue()
        self._taken = threading.Lock()  # held until the thread has its work
        self._taken.acquire()
        self._gatherer = Gatherer(self._take, lambda: self._busy, lambda: self._reads)
        self._writer = threading.Thread(target=self._write_loop, name="store-writer", daemon=True)
        self._checkpointer = Checkpointer(lambda: self.connect(apsw.SQLITE_OPEN_READWRITE))
        self._closing = False
        self._ended = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._connection: apsw.Connection | None = None

    async def start(self) -> None:
        self._loop, self._loop_thread = asyncio.get_running_loop(), threading.get_ident()
        await asyncio.to_thread(self._open)
        await self.start_reading()
        self._writer.start()
        self._checkpointer.start()
        self._look_now_and_then()

    async def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._own = None  # a thread closes it
        self._gatherer.hurry()
        self._checkpointer.close()
        if not self._busy:
            self._free()
        if self._processes is not None:
            await self._processes.close()
        await asyncio.to_thread(self._stop)

    async def write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        future: asyncio.Future[T] = self._new_future()
        self._enqueue(Job(operation, args, kwargs, future))
        return await future

    async def write_briefly(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        future: asyncio.Future[T] = self._new_future()
        self._enqueue(Job(operation, args, kwargs, future, brief=True))
        return await future

    async def write_together(self, operation: Operation[[Sequence[Item]], Sequence[T]], item: Item) -> T:
        future: asyncio.Future[T] = self._new_future()
        self._enqueue(Job(operation, (item,), {}, future, together=True, brief=True))
        return await future

    async def read_apart(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        read = self.read if self._processes is None else self._processes.read
        return await read(operation, *args, **kwargs)

    async def read_unhurried(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._processes is not None:
            await self._processes.wait_for_one()
        return await self.read_apart(operation, *args, **kwargs)

    @property
    def pressed(self) -> bool:
        return self._gatherer.pressed

    def modseq(self, account: int, *, exact: bool = False) -> int | None:
        if self._own is None or self._loop is None:
            return None
        current = self._loop.time() < self._looked_until or (not self._busy and self._look_for_others())
        if current and not exact and (known := self._modseqs.get(account)) is not None:
            return known
        try:
            modseq = changes.read_modseq(SQLiteTransaction(self._own, self.blobs), account)
        except apsw.Error:
            return None
        if current:
            self._know(account, modseq)
        return modseq

    def _know(self, account: int, modseq: int) -> None:
        if len(self._modseqs) >= _MAX_MODSEQS:
            self._modseqs.clear()
        self._modseqs[account] = max(modseq, self._modseqs.get(account, 0))

    def _new_future(self) -> asyncio.Future[Any]:
        if self._closing or self._loop is None:
            raise _closed()
        return self._loop.create_future()

    def _enqueue(self, job: Job) -> None:
        assert self._loop is not None
        self._gatherer.add(job, self._loop)

    def write_now(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`write` for a worker thread: it blocks until the operation is durable."""
        if self._closing or self._loop is None:
            raise _closed()
        if threading.get_ident() == self._loop_thread:
            raise RuntimeError("write_now would wait for the event loop in the event loop: await write there")
        future: Future[T] = Future()
        self._loop.call_soon_threadsafe(self._take, [Job(operation, args, kwargs, future)])
        return future.result()

    # In the event loop, which says when the writer's connection is whose

    def _take(self, jobs: list[Job]) -> None:
        if self._ended:
            for job in jobs:
                job.future.set_exception(_closed())
            return
        self._waiting += jobs
        if not self._busy:
            self._next()

    def _next(self) -> None:
        """Begin the next transaction with what waits."""
        jobs = self._waiting[:_BATCH]
        brief = all(job.brief for job in jobs) and self._allowance.granted()
        if brief:
            jobs = jobs[:_BRIEF]
        del self._waiting[: len(jobs)]
        self._busy = True
        self._work.put((jobs, self._begin(jobs) if brief else partial(self._transactions.run, jobs)))
        # A busy loop would keep the interpreter for the rest of its turn, and the disk would wait for it.
        self._taken.acquire()

    def _begin(self, jobs: list[Job]) -> Callable[[], Changed]:
        """Run brief jobs here and now; what is left to do."""
        changed = self._transactions.begin(jobs)
        self._allowance.spent()
        if changed is None:
            return partial(self._transactions.run_again, jobs)
        return partial(self._transactions.commit, jobs, changed)

    def _deliver(self, jobs: list[Job], changed: Changed, free: bool) -> None:
        try:
            for account, modseq in changed.items():
                if modseq:  # else it is no counter
                    self._know(account, modseq)
            self._gatherer.answer(jobs)
            if self._on_change is not None:
                for account, modseq in changed.items():
                    self._on_change(account, modseq)
        finally:
            if free:
                self._free()

    def _free(self) -> None:
        """The connection is the event loop's again."""
        self._busy = False
        if self._look_due:
            self._look_for_others()
        self._gatherer.freed()
        if self._waiting:
            self._next()
        elif self._closing:
            self._ended = self._busy = True
            self._work.put(None)

    def _look_now_and_then(self) -> None:
        assert self._loop is not None
        if self._closing:
            return
        self._look_due = True
        if not self._busy:
            self._look_for_others()
        self._loop.call_later(_LOOK, self._look_now_and_then)

    def _look_for_others(self) -> bool:
        """Tell of what another process has written; whether that could be seen. Nobody else uses the connection now."""
        self._look_due = False
        assert self._connection is not None
        assert self._loop is not None
        try:
            version = self._connection.pragma("data_version")
        except apsw.Error:  # a write will tell what is wrong
            return False
        self._looked_until = self._loop.time() + _LOOK_ASKED
        others, self._version = version != self._version, version
        if others:
            self._modseqs.clear()
            if self._on_others is not None:
                self._on_others()
        return True

    # The writer's thread

    def _open(self) -> None:
        with contextlib.suppress(OSError):  # the mail is nobody else's; of what fails here SQLite tells
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        try:
            self._connection = self.connect(apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
            self._connection.set_wal_hook(self._checkpointer.after_commit)
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                schema.migrate(SQLiteTransaction(self._connection, self.blobs))
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except apsw.Error as error:
            raise as_store_error(error) from error
        self._transactions = Transactions(self._connection, self.blobs, self._busy_timeout)

    def _write_loop(self) -> None:
        assert self._connection is not None
        while (work := self._work.get()) is not None:
            self._taken.release()
            jobs, run = work
            changed = run()
            due = self._checkpointer.due
            self._answer(jobs, changed, free=not due)
            if due:
                self._checkpointer.between_commits(self._connection)
                self._call(self._free)

    def _answer(self, jobs: list[Job], changed: Changed, *, free: bool) -> None:
        threads: list[Job] = []
        waiting: list[Job] = []
        for job in jobs:
            (threads if isinstance(job.future, Future) else waiting).append(job)
        self._call(self._deliver, waiting, changed, free)
        for job in threads:  # only now: whoever asks in the event loop next finds there what has changed
            job.fulfil()

    def _call(self, function: Callable[..., None], *args: object) -> None:
        """Have it called in the event loop, as long as there is one."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *args)

    def _stop(self) -> None:
        self._writer.join()
        self._checkpointer.join()
        self.stop_reading()
        if self._connection is not None:
            close(self._connection)


def _closed() -> StoreFailed:
    return StoreFailed("the store is closed")
