"""One SQLite file in WAL mode: how it is opened and read, and what its errors mean."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import apsw

from mailwright.store.blobs.api import BlobStore
from mailwright.store.db.allowance import Allowance
from mailwright.store.db.api import Dialect, Operation, P, Row, T, Value
from mailwright.store.db.readers import Readers
from mailwright.store.errors import StoreBusy, StoreError, StoreFailed, StoreFull, TemporaryFailure

log = logging.getLogger(__name__)

DIALECT: Final = Dialect("sqlite", skip_locked="", for_update="")

# Statements that were among the last so many stay prepared. All of them are looked through each time; who writes has
# one for each number of rows.
_STATEMENTS_WRITTEN: Final = 600
_STATEMENTS_READ: Final = 150

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
STORAGE_ERRORS = tuple(error for error, _ in _FAILURES)


class SQLiteTransaction:
    """A transaction on one connection. Whoever made it calls `end`, in the thread that runs it."""

    __slots__ = ("_calls", "_connection", "_cursors", "announced", "blobs", "dialect")

    def __init__(self, connection: apsw.Connection, blobs: BlobStore) -> None:
        self.dialect = DIALECT
        self.blobs = blobs
        self.announced: dict[int, int] = {}
        self._calls = 0
        self._connection = connection
        self._cursors: list[apsw.Cursor] = []  # that may not have given their last row yet

    def all(self, sql: str, *params: Value) -> list[Row]:
        return self._connection.execute(sql, params).fetchall()

    def rows(self, sql: str, *params: Value) -> Iterator[Row]:
        cursor = self._connection.execute(sql, params)
        self._cursors.append(cursor)
        return iter(cursor)

    def end(self) -> None:
        """Close what an operation left open, which else another thread might, while this one uses the connection."""
        for cursor in self._cursors:
            cursor.close()

    def one(self, sql: str, *params: Value) -> Row | None:
        # All rows are fetched: a statement with RETURNING is done only when it has run to its end.
        rows = self._connection.execute(sql, params).fetchall()
        return rows[0] if rows else None

    def run(self, sql: str, *params: Value) -> int:
        self._connection.execute(sql, params)
        return self._connection.changes()

    def many(self, sql: str, rows: Iterable[Sequence[Value]]) -> None:
        self._connection.executemany(sql, rows)

    def last_number(self) -> int:
        return self._connection.last_insert_rowid()

    def announce(self, account: int, modseq: int) -> int:
        self.announced[account] = modseq
        self._calls += 1
        return self._calls - 1


class SQLiteFile:
    """The file as it is read: by a small pool of threads, and what is brief by the event loop."""

    dialect = DIALECT

    def __init__(
        self,
        path: Path | str,
        blobs: BlobStore,
        *,
        readers: int = 3,
        vfs: str | None = None,
        busy_timeout: float = 5.0,
        cache: int = 32 * 1024,
    ) -> None:
        """`cache` is what a connection may keep of the file in memory, in KiB."""
        self.blobs = blobs
        self._path = str(path)
        self._vfs = vfs
        self._busy_timeout = busy_timeout
        self._cache = cache
        self._readers = Readers(readers)
        self._reader = threading.local()
        self._connections: list[apsw.Connection] = []  # those that read
        self._own: apsw.Connection | None = None  # the event loop's
        self._allowance = Allowance()
        self._reads = 0  # brief ones so far, but for what was looked up

    async def start_reading(self) -> None:
        """Read from now on: the file is there. Raises TemporaryFailure."""
        try:
            self._own = await asyncio.to_thread(self._connect_reader)
        except apsw.Error as error:
            raise as_store_error(error) from error
        self._own.set_busy_timeout(0)
        self._readers.start()

    def stop_reading(self) -> None:
        """Finish what is being read; it blocks."""
        self._readers.stop()
        for connection in self._connections:
            close(connection)

    async def read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._readers.run(lambda: self.read_now(operation, *args, **kwargs))

    def read_now(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`read` for a thread: it blocks."""
        connection = getattr(self._reader, "connection", None)
        try:
            if connection is None:
                connection = self._reader.connection = self._connect_reader()
            return self._read(connection, operation, *args, **kwargs)
        except apsw.Error as error:
            raise as_store_error(error) from error

    def read_briefly(
        self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]:
        self._reads += 1
        return self.look_up(operation, *args, **kwargs)

    async def look_up(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._own is not None and self._allowance.granted():
            try:
                return self._read(self._own, operation, *args, **kwargs)
            except apsw.Error as error:  # a thread has the patience, or tells of it
                log.debug("what is brief is read by a thread: %r", error)
            finally:
                self._allowance.spent()
        return await self.read(operation, *args, **kwargs)

    def _read(
        self, connection: apsw.Connection, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        connection.execute("BEGIN")
        tx = SQLiteTransaction(connection, self.blobs)
        try:
            return operation(tx, *args, **kwargs)
        finally:
            tx.end()
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _connect_reader(self) -> apsw.Connection:
        connection = self.connect(apsw.SQLITE_OPEN_READWRITE)
        self._connections.append(connection)
        return connection

    def connect(self, flags: int) -> apsw.Connection:
        statements = _STATEMENTS_WRITTEN if flags & apsw.SQLITE_OPEN_CREATE else _STATEMENTS_READ
        connection = apsw.Connection(
            self._path,
            flags=flags | apsw.SQLITE_OPEN_NOMUTEX,  # one thread at a time has a connection
            vfs=self._vfs,
            statementcachesize=statements,
        )
        connection.set_busy_timeout(int(self._busy_timeout * 1000))
        # Else statements are prepared again and again, since the plan might have to follow the values of parameters.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        if flags & apsw.SQLITE_OPEN_CREATE:
            connection.execute("PRAGMA page_size = 8192")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{self._cache}")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        return connection


def close(connection: apsw.Connection) -> None:
    """Close it; what fails is left to the write-ahead log, which keeps what could not be copied back."""
    try:
        connection.close()
    except apsw.Error as error:
        log.warning("the database did not close cleanly: %s", error)


def as_store_error(error: apsw.Error) -> Exception:
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
