"""PostgreSQL through psycopg 3: the same store operations, for any number of processes and machines.

Operations run in worker threads, each on a pooled connection. Writes are serialised per account by its row of
`account_state`, which each of them holds first (`store.changes.hold`); what still conflicts is retried, also where two
insert the same row at the same time: the one that comes second sees it when it is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import psycopg
from psycopg import errors as pg
from psycopg_pool import ConnectionPool, PoolTimeout

from mailwright.store import schema
from mailwright.store.blobs.api import BlobStore
from mailwright.store.db.api import Dialect, Item, Operation, P, Row, T, Value
from mailwright.store.errors import StoreBusy, StoreError, StoreFailed, StoreFull

log = logging.getLogger(__name__)

DIALECT = Dialect("postgres", skip_locked=" FOR UPDATE SKIP LOCKED", for_update=" FOR UPDATE")
_RETRIES = 8
_MIGRATION_LOCK = 0x6D61696C  # 'mail': one process migrates, the others wait

_Connection = psycopg.Connection[Row]
LoneConnection = psycopg.AsyncConnection[tuple[Any, ...]]


# A server that is gone without a word, with its machine, is noticed within a minute; and so are we, by the server: it
# gives to others what we held. Who only waits is not forgotten, so no idle_session_timeout must end what it holds;
# older servers do not know that setting.
_KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_KEEPALIVE_THERE = (
    b"SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3;"
    b" SET tcp_user_timeout = 30000;"
    b" SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'"
)
# Limits to what a statement or a transaction may take; what a migration takes depends on how much mail there is.
_NO_LIMITS = (
    b"SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN"
    b" ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')"
)
# A row if servers of any version are at work on this database: by the connections that they have besides the pool.
SERVED: Final = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name IN ('mailwright notify', 'mailwright presence') LIMIT 1"
)
_OVER_LIMIT = (
    "57014",
    "25P03",
    "25P04",
)  # the statement, what was idle within a transaction, the transaction


async def connect_alone(dsn: str, name: str) -> LoneConnection:
    """A connection of its own, outside the pool, for what lives as long as it does; `name` is for pg_stat_activity.

    The DSN must lead to the server itself: a pooler that shares a connection between transactions delivers no
    notifications, and keeps no locks. Raises psycopg.Error.
    """
    connection = await psycopg.AsyncConnection.connect(
        dsn, autocommit=True, fallback_application_name=name, **_KEEPALIVE
    )
    try:
        await connection.execute(_KEEPALIVE_THERE)
    except BaseException:
        connection.pgconn.finish()
        raise
    return connection


def _configure(connection: _Connection) -> None:
    connection.execute(_KEEPALIVE_THERE)
    connection.commit()
    # Whatever the database's default: who holds an account reads what was committed before.
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED


@functools.lru_cache(maxsize=1024)
def _translate(sql: str) -> bytes:
    return sql.replace("%", "%%").replace("?", "%s").encode()


class PostgresTransaction:
    """A transaction on one connection."""

    __slots__ = ("_calls", "_connection", "announced", "blobs", "dialect")

    def __init__(self, connection: _Connection, blobs: BlobStore) -> None:
        self.dialect = DIALECT
        self.blobs = blobs
        self.announced: dict[int, int] = {}
        self._calls = 0
        self._connection = connection

    def all(self, sql: str, *params: Value) -> list[Row]:
        return self._connection.execute(_translate(sql), params).fetchall()

    def rows(self, sql: str, *params: Value) -> Iterator[Row]:
        with self._connection.cursor() as cursor:
            stream = cursor.stream(_translate(sql), params, size=500)
            try:
                for row in stream:  # noqa: UP028 - who has enough would close that too
                    yield row
            except GeneratorExit:  # read the rest: to cancel it, as closing does, breaks the transaction off
                deque(stream, 0)

    def one(self, sql: str, *params: Value) -> Row | None:
        return self._connection.execute(_translate(sql), params).fetchone()

    def run(self, sql: str, *params: Value) -> int:
        return self._connection.execute(_translate(sql), params).rowcount

    def many(self, sql: str, rows: Iterable[Sequence[Value]]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(_translate(sql), rows)

    def last_number(self) -> int:
        row = self.one("SELECT lastval()")
        assert row is not None
        return int(row[0])

    def announce(self, account: int, modseq: int) -> int:
        self.announced[account] = modseq
        self._calls += 1
        return self._calls - 1


class PostgresDatabase:
    """A PostgreSQL database. `on_change(account, modseq)` is called in the event loop after each of our commits.

    The commits of other processes come by `store.notify.postgres`.
    """

    dialect = DIALECT

    def __init__(
        self,
        dsn: str,
        blobs: BlobStore,
        *,
        on_change: Callable[[int, int], None] | None = None,
        connections: int = 8,
        wait: float = 10.0,
    ) -> None:
        self.blobs = blobs
        self._on_change = on_change
        self._dsn = dsn
        self._workers = ThreadPoolExecutor(connections, thread_name_prefix="store")
        self._pool: ConnectionPool[_Connection] = ConnectionPool(
            dsn,
            min_size=1,
            max_size=connections,
            timeout=wait,
            reconnect_timeout=wait,  # then whoever asks next has it tried at once, instead of ever more seldom
            configure=_configure,
            open=False,
            kwargs={"autocommit": False, "client_encoding": "UTF8", **_KEEPALIVE},
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._loop.run_in_executor(self._workers, self._open)

    async def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        await asyncio.to_thread(self._workers.shutdown)
        await asyncio.to_thread(self._pool.close)

    async def write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(lambda: self.write_now(operation, *args, **kwargs))

    async def write_briefly(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.write(operation, *args, **kwargs)

    async def write_together(self, operation: Operation[[Sequence[Item]], Sequence[T]], item: Item) -> T:
        return (await self.write(operation, (item,)))[0]

    async def read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(lambda: self.read_now(operation, *args, **kwargs))

    async def read_apart(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.read(operation, *args, **kwargs)

    async def read_unhurried(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.read(operation, *args, **kwargs)

    async def read_briefly(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.read(operation, *args, **kwargs)

    @property
    def pressed(self) -> bool:
        return False

    async def look_up(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.read(operation, *args, **kwargs)

    def modseq(self, account: int, *, exact: bool = False) -> int | None:
        return None

    async def _run(self, call: Callable[[], T]) -> T:
        if self._closing:
            raise StoreFailed("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._workers, call)

    def write_now(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`write` for a worker thread: it blocks until the operation is durable."""

        def attempt() -> tuple[T, dict[int, int]]:
            with self._pool.connection() as connection, _before_commit(connection):
                tx = PostgresTransaction(connection, self.blobs)
                return operation(tx, *args, **kwargs), tx.announced

        result, announced = self._with_retries(attempt)
        self._publish(announced)
        return result

    def read_now(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`read` for a thread: it blocks."""

        def attempt() -> T:
            with self._pool.connection() as connection, _before_commit(connection):
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                return operation(PostgresTransaction(connection, self.blobs), *args, **kwargs)

        return self._with_retries(attempt)

    def _with_retries(self, attempt: Callable[[], T]) -> T:
        for tries in range(_RETRIES):
            try:
                return attempt()
            except (pg.SerializationFailure, pg.DeadlockDetected, pg.UniqueViolation) as error:
                if tries == _RETRIES - 1:
                    raise StoreBusy(f"other writers hold the same rows ({error}); try again") from error
                time.sleep(random.uniform(0, 0.005 * 2**tries))  # noqa: S311 - spreads retries, no secret
            except _Lost as lost:
                if tries == _RETRIES - 1:
                    raise _as_store_error(lost.cause) from lost.cause
                self._pool.check()  # others that wait there broke with it, perhaps
            except (psycopg.Error, PoolTimeout) as error:
                raise _as_store_error(error) from error
        raise AssertionError("unreachable")

    def _open(self) -> None:
        try:
            self._pool.open()
            with self._pool.connection() as connection:
                connection.execute(_NO_LIMITS)
                if (encoding := connection.info.parameter_status("server_encoding")) != "UTF8":
                    raise StoreError(
                        f"the database keeps text as {encoding}, which cannot hold all mail; make another one with"
                        " CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
                    )
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
                tx = PostgresTransaction(connection, self.blobs)
                if schema.is_older(tx) and tx.one(SERVED):
                    raise StoreBusy(
                        "a server of an older version runs on this database; stop all of them first"
                    )
                schema.migrate(tx)
        except (psycopg.Error, PoolTimeout) as error:
            raise _as_store_error(error) from error

    def _publish(self, announced: dict[int, int]) -> None:
        if (
            announced
            and self._on_change is not None
            and self._loop is not None
            and not self._loop.is_closed()
        ):
            for account, modseq in announced.items():
                self._loop.call_soon_threadsafe(self._on_change, account, modseq)


class _Lost(Exception):
    """A connection broke before anything was committed, as all do when the database server is started again."""

    def __init__(self, cause: psycopg.Error) -> None:
        super().__init__(str(cause))
        self.cause = cause


@contextlib.contextmanager
def _before_commit(connection: _Connection) -> Iterator[None]:
    """Raises _Lost when the connection breaks within the block, unless it would break at the same place again."""
    try:
        yield
    except psycopg.Error as error:
        if connection.broken and error.sqlstate not in _OVER_LIMIT:
            raise _Lost(error) from error
        raise


def _as_store_error(error: Exception) -> Exception:
    if isinstance(error, (pg.DiskFull, pg.OutOfMemory)):
        return StoreFull(f"the database server is full ({error}); free some space there")
    if isinstance(error, pg.ReadOnlySqlTransaction):
        return StoreFailed(
            f"the database server takes no writes ({error}); see that its DSN leads to the primary"
        )
    if isinstance(error, pg.LockNotAvailable):
        return StoreBusy(f"other writers hold the same rows ({error}); try again")
    if isinstance(error, psycopg.Error) and error.sqlstate in _OVER_LIMIT:
        return StoreFailed(
            f"the database server broke this off ({error}); see what limits its role or database sets, such as"
            " statement_timeout, and set them higher"
        )
    if isinstance(error, psycopg.InternalError):
        return StoreFailed(f"the database server met an error of its own ({error}); its log says more")
    if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)):
        return StoreFailed(f"the database server does not answer ({error}); check that it runs and its DSN")
    return error
