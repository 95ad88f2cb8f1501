"""SQLite through apsw: one writer thread with group commit, a small pool of readers, one file in WAL mode.

All writes that wait go into one transaction, and one fsync answers them all. When an operation refuses, the batch is
run again with a savepoint for each; when the transaction fails as a whole, each is tried once more alone, so that one
that cannot be kept (a full disk met by a large message) does not take the others with it. So operations may run twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import apsw

from mailwright.store import schema
from mailwright.store.blobs.api import BlobStore
from mailwright.store.db.api import Item, Operation, P, T
from mailwright.store.db.checkpoints import Checkpointer
from mailwright.store.db.file import STORAGE_ERRORS, SQLiteFile, SQLiteTransaction, as_store_error, close
from mailwright.store.db.gather import Gatherer
from mailwright.store.errors import StoreFailed

log = logging.getLogger(__name__)

_BATCH: Final = 256  # operations in one transaction at most
_LOOK: Final = 1.0  # seconds between two looks whether another process has written


class _Refused(Exception):
    """An operation raised: its batch is run again with savepoints."""


@dataclass(slots=True)
class _Job:
    operation: Callable[..., Any]
    args: tuple[Any, ...]  # of a job that is `together`: its item alone
    kwargs: dict[str, Any]
    future: Future[Any] | asyncio.Future[Any]
    together: bool = False
    result: Any = None
    error: BaseException | None = None


_Unit = list[_Job]  # jobs that are one call of their operation; alone, but for those that are `together`


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
        self._version = 0  # as the writer's connection last saw it: others' commits change it, its own do not
        self._looked = 0.0
        self._jobs: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()
        self._gatherer: Gatherer[_Job] = Gatherer(self._jobs.put)
        self._writer = threading.Thread(target=self._write_loop, name="store-writer", daemon=True)
        self._checkpointer = Checkpointer(lambda: self.connect(apsw.SQLITE_OPEN_READWRITE), busy_timeout)
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: apsw.Connection | None = None

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._open)
        await self.start_reading()
        self._writer.start()
        self._checkpointer.start()

    async def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._gatherer.hurry()
        self._jobs.put(None)
        self._checkpointer.close()
        await asyncio.to_thread(self._stop)

    async def write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        future: asyncio.Future[T] = self._new_future()
        self._enqueue(_Job(operation, args, kwargs, future))
        return await future

    async def write_together(self, operation: Operation[[Sequence[Item]], Sequence[T]], item: Item) -> T:
        future: asyncio.Future[T] = self._new_future()
        self._enqueue(_Job(operation, (item,), {}, future, together=True))
        return await future

    def _new_future(self) -> asyncio.Future[Any]:
        if self._closing or self._loop is None:
            raise _closed()
        return self._loop.create_future()

    def _enqueue(self, job: _Job) -> None:
        assert self._loop is not None
        self._gatherer.add(job, self._loop)

    def write_now(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`write` for a worker thread: it blocks until the operation is durable."""
        if self._closing:
            raise _closed()
        future: Future[T] = Future()
        self._jobs.put([_Job(operation, args, kwargs, future)])
        return future.result()

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

    def _write_loop(self) -> None:
        connection = self._connection
        assert connection is not None
        while (jobs := self._next_jobs()) is not None:
            batch = jobs
            while len(batch) < _BATCH:
                try:
                    waiting = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if waiting is None:
                    self._jobs.put(None)
                    break
                batch += waiting
            self._answer(batch, self._run_batch(batch))
            self._checkpointer.between_commits(connection)

    def _next_jobs(self) -> list[_Job] | None:
        while True:
            if time.monotonic() - self._looked >= _LOOK:
                self._look_for_others()
            try:
                return self._jobs.get(timeout=_LOOK)
            except queue.Empty:
                pass

    def _look_for_others(self) -> None:
        self._looked = time.monotonic()
        assert self._connection is not None
        try:
            version = self._connection.pragma("data_version")
        except apsw.Error:  # a write will tell what is wrong
            return
        others, self._version = version != self._version, version
        if others and self._on_others is not None and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._on_others)

    def _run_batch(self, batch: list[_Job]) -> dict[int, int]:
        """Run and commit the jobs, or give each its error; the changed accounts with their counters."""
        try:
            return self._commit(_units(batch), savepoints=False)
        except (_Refused, apsw.Error) as error:
            if len(batch) == 1 and isinstance(error, apsw.Error):
                _fail(batch[0], error)
                return {}
            return self._run_again(batch)
        except BaseException as error:  # the writer must outlive whatever an operation does
            for job in batch:
                job.error = error
            log.exception("the writer met an unexpected error")
            return {}

    def _run_again(self, batch: list[_Job]) -> dict[int, int]:
        try:
            return self._commit([[job] for job in batch], savepoints=True)
        except apsw.Error as error:
            if len(batch) == 1:
                _fail(batch[0], error)
                return {}
            changed: dict[int, int] = {}
            for job in batch:
                changed.update(self._run_again([job]))
            return changed

    def _commit(self, units: list[_Unit], *, savepoints: bool) -> dict[int, int]:
        connection = self._connection
        assert connection is not None
        changed: dict[int, int] = {}
        connection.execute("BEGIN IMMEDIATE")
        try:
            for unit in units:
                if savepoints:
                    changed.update(self._run_in_savepoint(connection, unit))
                else:
                    changed.update(self._run(connection, unit))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return changed

    def _run(self, connection: apsw.Connection, unit: _Unit) -> dict[int, int]:
        tx = SQLiteTransaction(connection, self.blobs)
        try:
            _call(tx, unit)
        except STORAGE_ERRORS:
            raise
        except Exception as error:
            raise _Refused from error
        return tx.announced

    def _run_in_savepoint(self, connection: apsw.Connection, unit: _Unit) -> dict[int, int]:
        tx = SQLiteTransaction(connection, self.blobs)
        connection.execute("SAVEPOINT job")
        try:
            _call(tx, unit)
        except STORAGE_ERRORS:
            raise  # the transaction itself may be lost: `_run_again` tries each job alone
        except Exception as error:
            connection.execute("ROLLBACK TO job")
            for job in unit:
                job.error = error
            tx.announced.clear()
        connection.execute("RELEASE job")
        return tx.announced

    def _answer(self, batch: list[_Job], changed: dict[int, int]) -> None:
        waiting: list[_Job] = []
        for job in batch:
            if isinstance(job.future, Future):  # of a thread
                _fulfil(job)
            else:
                waiting.append(job)
        if (waiting or changed) and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._deliver, waiting, changed)

    def _deliver(self, batch: list[_Job], changed: dict[int, int]) -> None:
        for job in batch:
            if not job.future.done():  # else whoever waited has gone; the write stands
                _fulfil(job)
        if self._on_change is not None:
            for account, modseq in changed.items():
                self._on_change(account, modseq)

    def _stop(self) -> None:
        self._writer.join()
        self._checkpointer.join()
        self.stop_reading()
        if self._connection is not None:
            close(self._connection)


def _units(batch: list[_Job]) -> list[_Unit]:
    """What is `together` with the same operation becomes one unit."""
    units: list[_Unit] = []
    together: dict[Callable[..., Any], _Unit] = {}
    for job in batch:
        if not job.together:
            units.append([job])
        elif job.operation in together:
            together[job.operation].append(job)
        else:
            units.append(together.setdefault(job.operation, [job]))
    return units


def _call(tx: SQLiteTransaction, unit: _Unit) -> None:
    """Run the operation of a unit and give its jobs their results."""
    first = unit[0]
    if first.together:
        results = first.operation(tx, [job.args[0] for job in unit])
        for job, result in zip(unit, results, strict=True):
            job.result, job.error = result, None
    else:
        first.result, first.error = first.operation(tx, *first.args, **first.kwargs), None


def _fulfil(job: _Job) -> None:
    if job.error is not None:
        job.future.set_exception(job.error)
    else:
        job.future.set_result(job.result)


def _fail(job: _Job, error: apsw.Error) -> None:
    job.error = as_store_error(error)
    log.error("a write failed: %s", job.error)


def _closed() -> StoreFailed:
    return StoreFailed("the store is closed")
