"""A real store for tests: SQLite in a folder of the test's own, or PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mailwright.store.blobs.api import BlobStore
from mailwright.store.blobs.database import DatabaseBlobs
from mailwright.store.db.postgres import PostgresDatabase
from mailwright.store.db.sqlite import SQLiteDatabase
from mailwright.store.notify.local import LocalNotifier
from mailwright.store.notify.postgres import PostgresNotifier
from mailwright.store.store import Store


@asynccontextmanager
async def open_store(folder: Path, blobs: BlobStore | None = None) -> AsyncIterator[Store]:
    """Open a store whose database is `folder/mail.sqlite`, with its blobs there too unless these are given."""
    blobs, notify = blobs or DatabaseBlobs(), LocalNotifier()
    store = Store(
        SQLiteDatabase(folder / "mail.sqlite", blobs, on_change=notify.publish), blobs, notify, folder
    )
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
