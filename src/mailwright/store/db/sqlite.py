"""SQLite through apsw: one writer thread with group commit, a small pool of readers, one file in WAL mode.

All writes that wait go into one transaction, and one fsync answers them all. When an operation refuses, the batch is
run again with a savepoint for each; when the transaction fails as a whole, each is tried once more alone, so that one
that cannot be kept (a full disk met by a large message) does not take the others with it. So operations may run twice.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from mailwright.store import schema
from mailwright.store.blobs.api import BlobStore
from mailwright.store.db.api import Dialect, Item, Operation, P, Row, T, Value
from mailwright.store.db.checkpoints import Checkpointer
from mailwright.store.db.readers import Readers
from mailwright.store.errors import StoreBusy, StoreError, StoreFailed, StoreFull, TemporaryFailure

log = logging.getLogger(__name__)

DIALECT = Dialect("sqlite", skip_locked="", for_update="")
_BATCH = 256  # operations in one transaction at most
_GATHER = 0.002  # seconds for which a busy event loop may gather what shares a commit
_REST = 0.0001  # seconds; a turn of the event loop that took less had nothing else to do

_FAILURES: tuple[tuple[type[apsw.Error], type[TemporaryFailure]], ...] = (
    (apsw.FullError, StoreFull),
    (apsw.BusyError, StoreBusy),
    (apsw.LockedError, StoreBusy),
    (apsw.IOError, StoreFailed),
    (apsw.CantOpenError, StoreFailed),
    (apsw.ReadOnlyError, StoreFailed),
    (apsw.CorruptError, StoreFailed),
    (apsw.NotADBError, StoreFailed),
    (apsw.NoMemError, StoreFailed),
    (apsw.ProtocolError, StoreBusy),
)
_StorageErrors = tuple(error for error, _ in _FAILURES)


class SQLiteTransaction:
    """A transaction on one connection."""

    __slots__ = ("_calls", "_connection", "announced", "blobs", "dialect")

    def __init__(self, connection: apsw.Connection, blobs: BlobStore) -> None:
        self.dialect = DIALECT
        self.blobs = blobs
        self.announced: dict[int, int] = {}
        self._calls = 0
        self._connection = connection

    def all(self, sql: str, *params: Value) -> list[Row]:
        return self._connection.execute(sql, params).fetchall()

    def rows(self, sql: str, *params: Value) -> Iterator[Row]:
        return iter(self._connection.execute(sql, params))

    def one(self, sql: str, *params: Value) -> Row | None:
        # All rows are fetched: a statement with RETURNING is done only when it has run to its end.
        rows = self._connection.execute(sql, params).fetchall()
        return rows[0] if rows else None

    def run(self, sql: str, *params: Value) -> int:
        self._connection.execute(sql, params)
        return self._connection.changes()

    def many(self, sql: str, rows: Iterable[Sequence[Value]]) -> None:
        self._connection.executemany(sql, rows)

    def announce(self, account: int, modseq: int) -> int:
        self.announced[account] = modseq
        self._calls += 1
        return self._calls - 1


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


class SQLiteDatabase:
    """The embedded database. `on_change(account, modseq)` is called in the event loop after each commit."""

    dialect = DIALECT

    def __init__(
        self,
        path: Path | str,
        blobs: BlobStore,
        *,
        on_change: Callable[[int, int], None] | None = None,
        readers: int = 3,
        vfs: str | None = None,
        busy_timeout: float = 5.0,
    ) -> None:
        self._path = str(path)
        self.blobs = blobs
        self._on_change = on_change
        self._vfs = vfs
        self._busy_timeout = busy_timeout
        self._jobs: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()
        self._pending: list[_Job] = []  # what the event loop will hand to the writer
        self._gathering = 0.0  # since when
        self._turned = 0.0  # when the last turn of the loop began
        self._readers = Readers(readers)
        self._reader = threading.local()
        self._reader_connections: list[apsw.Connection] = []
        self._writer = threading.Thread(target=self._write_loop, name="store-writer", daemon=True)
        self._checkpointer = Checkpointer(lambda: self._connect(apsw.SQLITE_OPEN_READWRITE), busy_timeout)
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: apsw.Connection | None = None
        self._glancing: apsw.Connection | None = None  # the event loop's own

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._open)
        self._writer.start()
        self._checkpointer.start()
        self._readers.start()

    async def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._hand_over()
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
            raise StoreFailed("the store is closed")
        return self._loop.create_future()

    def _enqueue(self, job: _Job) -> None:
        if not self._pending and self._loop is not None:
            self._loop.call_soon(self._gather, self._loop)
        self._pending.append(job)

    def _gather(self, loop: asyncio.AbstractEventLoop) -> None:
        self._gathering = self._turned = time.monotonic()
        loop.call_soon(self._turn, loop)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand over at once when the loop has nothing else to do; while it works, nobody is kept waiting by it.

        A commit has its price however little it keeps, so what some turns of a busy loop bring shares one.
        """
        now = time.monotonic()
        if self._closing or now - self._turned < _REST or now - self._gathering > _GATHER:
            self._hand_over()
        else:
            self._turned = now
            loop.call_soon(self._turn, loop)

    def _hand_over(self) -> None:
        if self._pending:
            jobs, self._pending = self._pending, []
            self._jobs.put(jobs)

    def write_now(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`write` for a worker thread: it blocks until the operation is durable."""
        if self._closing:
            raise StoreFailed("the store is closed")
        future: Future[T] = Future()
        self._jobs.put([_Job(operation, args, kwargs, future)])
        return future.result()

    async def read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._readers.run(lambda: self.read_now(operation, *args, **kwargs))

    def read_now(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`read` for a thread: it blocks."""
        connection = getattr(self._reader, "connection", None)
        try:
            if connection is None:
                connection = self._reader.connection = self._connect(apsw.SQLITE_OPEN_READWRITE)
                self._reader_connections.append(connection)
            connection.execute("BEGIN")
            try:
                return operation(SQLiteTransaction(connection, self.blobs), *args, **kwargs)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except apsw.Error as error:
            raise _as_store_error(error) from error

    def glance(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        if self._glancing is None:
            return None
        try:
            return operation(SQLiteTransaction(self._glancing, self.blobs), *args, **kwargs)
        except apsw.Error:
            return None

    # The writer's thread

    def _open(self) -> None:
        try:
            self._connection = self._connect(apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                schema.migrate(SQLiteTransaction(self._connection, self.blobs))
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._glancing = self._connect(apsw.SQLITE_OPEN_READWRITE)
            self._glancing.set_busy_timeout(0)
        except apsw.Error as error:
            raise _as_store_error(error) from error

    def _connect(self, flags: int) -> apsw.Connection:
        connection = apsw.Connection(self._path, flags=flags, vfs=self._vfs, statementcachesize=300)
        connection.set_busy_timeout(int(self._busy_timeout * 1000))
        # Else statements are prepared again and again, since the plan might have to follow the values of parameters.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        if flags & apsw.SQLITE_OPEN_CREATE:
            connection.execute("PRAGMA page_size = 8192")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -32768")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        if flags & apsw.SQLITE_OPEN_CREATE:
            connection.set_wal_hook(self._checkpointer.after_commit)
        return connection

    def _write_loop(self) -> None:
        while (jobs := self._jobs.get()) is not None:
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
        except _StorageErrors:
            raise
        except Exception as error:
            raise _Refused from error
        return tx.announced

    def _run_in_savepoint(self, connection: apsw.Connection, unit: _Unit) -> dict[int, int]:
        tx = SQLiteTransaction(connection, self.blobs)
        connection.execute("SAVEPOINT job")
        try:
            _call(tx, unit)
        except _StorageErrors:
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
            if isinstance(job.future, asyncio.Future):
                waiting.append(job)
            elif job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)
        if (waiting or changed) and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._deliver, waiting, changed)

    def _deliver(self, batch: list[_Job], changed: dict[int, int]) -> None:
        for job in batch:
            if job.future.done():  # whoever waited has gone; the write stands
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)
        if self._on_change is not None:
            for account, modseq in changed.items():
                self._on_change(account, modseq)

    def _stop(self) -> None:
        self._writer.join()
        self._checkpointer.join()
        self._readers.stop()
        for connection in (*self._reader_connections, self._glancing, self._connection):
            if connection is None:
                continue
            try:
                connection.close()
            except apsw.Error as error:  # the write-ahead log keeps what could not be copied back
                log.warning("the database did not close cleanly: %s", error)


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


def _fail(job: _Job, error: apsw.Error) -> None:
    job.error = _as_store_error(error)
    log.error("a write failed: %s", job.error)


def _as_store_error(error: apsw.Error) -> Exception:
    if isinstance(error, _NO_ACCESS):
        return StoreFailed(
            f"the database cannot be opened or written ({error}); see that its folder is there, is not mounted"
            " read-only, and is this user's: commands run as the user of the server"
        )
    for kind, meaning in _FAILURES:
        if isinstance(error, kind):
            return meaning(_EXPLAIN[meaning].format(error))
    return (
        StoreError(f"the database refused a statement: {error}")
        if isinstance(error, apsw.SQLError)
        else error
    )


_NO_ACCESS = (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError)
_EXPLAIN: dict[type[TemporaryFailure], str] = {
    StoreFull: "the disk is full ({}); free some space, nothing needs a restart",
    StoreBusy: "another process holds the database ({}); stop it, or wait until it is done",
    StoreFailed: "the disk or the database file reported an error ({}); check the disk, then run `mailwright doctor`",
}
