"""The store, opened for a command; the server may be running meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

if TYPE_CHECKING:
    from mailwright.config import Config
    from mailwright.store.db.api import Transaction
    from mailwright.store.store import Store

P = ParamSpec("P")
T = TypeVar("T")


@contextlib.asynccontextmanager
async def open_store(config: Config) -> AsyncIterator[Store]:
    """The store that the configuration names. Raises TemporaryFailure when it cannot be opened, StoreError."""
    import logging

    from mailwright.app import storage

    # The error that ends the command says it once; only a server keeps a log.
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    logging.getLogger("mailwright").addHandler(logging.NullHandler())
    config.server.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    store = storage.open_store(config)
    _leave_to_older_server(config)
    await store.start()
    try:
        yield store
    finally:
        await store.close()


def _leave_to_older_server(config: Config) -> None:
    """Raises StoreBusy where this version would change the schema below a running server that knows only the old one.

    Over PostgreSQL the store itself refuses that.
    """
    import apsw

    from mailwright.cli.running import AlreadyRunning, lock_data
    from mailwright.store import schema
    from mailwright.store.errors import StoreBusy

    if config.is_postgres or not Path(config.database).exists():
        return
    version: int | None = None
    with contextlib.suppress(apsw.Error):  # whoever opens it next tells of it
        connection = apsw.Connection(config.database, flags=apsw.SQLITE_OPEN_READWRITE)
        version = connection.execute("SELECT max(version) FROM schema_versions").get
        connection.close()
    if version is None or version >= schema.newest():
        return
    try:
        with lock_data(config):
            pass
    except AlreadyRunning as error:
        raise StoreBusy(
            "the server that runs is of an older version; restart it with this one first"
        ) from error


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
