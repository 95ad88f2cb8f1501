"""The queue over both databases: a test that takes `db` runs over SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailwright.store.blobs.database import DatabaseBlobs
from mailwright.store.db.postgres import PostgresDatabase
from mailwright.store.db.sqlite import SQLiteDatabase


@pytest.fixture(params=["sqlite", "postgres"])
async def db(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[SQLiteDatabase | PostgresDatabase]:
    database: SQLiteDatabase | PostgresDatabase
    if request.param == "sqlite":
        database = SQLiteDatabase(tmp_path / "mail.db", DatabaseBlobs())
    else:
        database = PostgresDatabase(request.getfixturevalue("postgres_database"), DatabaseBlobs())
    await database.start()
    yield database
    await database.close()
