"""Two processes of one PostgreSQL in the midst of their transactions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, ParamSpec, TypeVar

import psycopg

from mailwright.store.blobs.database import DatabaseBlobs
from mailwright.store.db.postgres import PostgresDatabase

WAITS = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")


@asynccontextmanager
async def processes(dsn: str) -> AsyncIterator[tuple[PostgresDatabase, PostgresDatabase]]:
    one, other = (PostgresDatabase(dsn, DatabaseBlobs()) for _ in range(2))
    await one.start()
    await other.start()
    yield one, other
    await one.close()
    await other.close()


class Held(Generic[P, T]):
    """What part of a transaction does; then it waits for `go_on`."""

    def __init__(self, part: Callable[P, T]) -> None:
        self._part = part
        self._loop = asyncio.get_running_loop()
        self.waiting, self.go_on = asyncio.Event(), asyncio.Event()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        result = self._part(*args, **kwargs)
        self._loop.call_soon_threadsafe(self.waiting.set)
        asyncio.run_coroutine_threadsafe(self.go_on.wait(), self._loop).result()
        return result


async def meet(held: Held[..., Any], first: Awaitable[T], second: Awaitable[U]) -> tuple[T, U]:
    """What comes of two writes, when the second comes while the first is held up."""
    one = asyncio.ensure_future(first)
    await held.waiting.wait()
    other = asyncio.ensure_future(second)
    await asyncio.wait({other}, timeout=0.3)
    held.go_on.set()
    return await one, await other


async def waits(connection: psycopg.AsyncConnection[tuple[int, ...]]) -> None:
    """Until somebody waits for what the connection holds."""
    async with asyncio.timeout(60):
        while not (await (await connection.execute(WAITS)).fetchall()):
            await asyncio.sleep(0.01)
