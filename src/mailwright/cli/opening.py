"""The store, opened for a command; the server may be running meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

if TYPE_CHECKING:
    from mailwright.config import Config
    from mailwright.store.db.api import Transaction
    from mailwright.store.store import Store

P = ParamSpec("P")
T = TypeVar("T")


@contextlib.asynccontextmanager
async def open_store(config: Config) -> AsyncIterator[Store]:
    """The store that the configuration names. Raises TemporaryFailure when it cannot be opened."""
    from mailwright.app import storage

    config.server.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    store = storage.open_store(config)
    await store.start()
    try:
        yield store
    finally:
        await store.close()


def with_store(config: Config, job: Callable[[Store], Awaitable[T]]) -> T:
    """Run `job` with the store."""

    async def run() -> T:
        async with open_store(config) as store:
            return await job(store)

    return asyncio.run(run())


def write(
    config: Config, operation: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run one store operation that changes something."""
    return with_store(config, lambda store: store.write(operation, *args, **kwargs))


def read(
    config: Config, operation: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run one store operation that only reads."""
    return with_store(config, lambda store: store.read(operation, *args, **kwargs))
