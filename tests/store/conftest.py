"""The store over every database and place for blobs: a test that takes `db` or `account` runs over all of them."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.accounts import new_account
from support.stores import with_tables

from mailwright.store.blobs.api import BlobStore
from mailwright.store.blobs.database import DatabaseBlobs
from mailwright.store.blobs.disk import DiskBlobs
from mailwright.store.db.postgres import PostgresDatabase
from mailwright.store.db.sqlite import SQLiteDatabase

Database = SQLiteDatabase | PostgresDatabase

_numbers = itertools.count()


@pytest.fixture(params=["sqlite", "sqlite+disk", "postgres", "postgres+disk"])
async def db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    kind, _, place = str(request.param).partition("+")
    blobs: BlobStore = DiskBlobs(tmp_path / "blobs") if place else DatabaseBlobs()
    database: Database
    if kind == "sqlite":
        database = SQLiteDatabase(with_tables(tmp_path / "mail.db"), blobs)
    else:
        database = PostgresDatabase(request.getfixturevalue("postgres_database"), blobs)
    await database.start()
    yield database
    await database.close()


@pytest.fixture
async def account(db: Database) -> int:
    return await db.write(new_account, f"user{next(_numbers)}@example.org")
