"""A real store for tests: SQLite in a folder of the test's own, or PostgreSQL."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw

from mailwright.store import schema
from mailwright.store.blobs.api import BlobStore
from mailwright.store.blobs.database import DatabaseBlobs
from mailwright.store.db.file import SQLiteTransaction
from mailwright.store.db.postgres import PostgresDatabase
from mailwright.store.db.sqlite import SQLiteDatabase
from mailwright.store.notify.local import LocalNotifier
from mailwright.store.notify.postgres import PostgresNotifier
from mailwright.store.store import Store


def with_tables(path: Path) -> Path:
    """The path, where there is now a database with the tables: to make them takes longer than most tests."""
    if not path.exists():
        path.touch(0o600)
        path.write_bytes(_tables())
    return path


@functools.cache
def _tables() -> bytes:
    """The file of a database that has been migrated, and in which nothing is."""
    with tempfile.TemporaryDirectory() as folder:
        database = SQLiteDatabase(path := Path(folder) / "mail.sqlite", DatabaseBlobs())
        connection = database.connect(apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
        with connection:
            schema.migrate(SQLiteTransaction(connection, database.blobs))
        connection.close()
        return path.read_bytes()


@asynccontextmanager
async def open_store(folder: Path, blobs: BlobStore | None = None) -> AsyncIterator[Store]:
    """Open a store whose database is `folder/mail.sqlite`, with its blobs there too unless these are given."""
    blobs, notify = blobs or DatabaseBlobs(), LocalNotifier()
    path = with_tables(folder / "mail.sqlite")
    store = Store(SQLiteDatabase(path, blobs, on_change=notify.publish), blobs, notify, folder)
    await store.start()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def open_postgres_store(dsn: str, folder: Path) -> AsyncIterator[Store]:
    """Open a store in a PostgreSQL database; `folder` takes the temporary files."""
    blobs, notify = DatabaseBlobs(), PostgresNotifier(dsn)
    store = Store(PostgresDatabase(dsn, blobs, on_change=notify.publish), blobs, notify, folder)
    await store.start()
    try:
        yield store
    finally:
        await store.close()
