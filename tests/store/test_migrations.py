"""Migrations run once, in order, on both databases, and from the first version on."""

from __future__ import annotations

from importlib import resources

from mailwright.store import schema
from mailwright.store.db.api import Database, Transaction


def versions(tx: Transaction) -> list[int]:
    return [version for (version,) in tx.all("SELECT version FROM schema_versions ORDER BY version")]


async def test_all_migrations_ran_and_run_once(db: Database) -> None:
    files = sorted(
        f.name for f in resources.files("mailwright.store.schema").iterdir() if f.name.endswith(".sql")
    )
    numbers = [int(name[:4]) for name in files]
    assert await db.read(versions) == numbers == sorted(set(numbers))
    assert await db.write(schema.migrate) == []


def test_the_words_that_differ() -> None:
    text = "CREATE TABLE t ( -- a ; comment\n id ROWKEY, data BYTES);\nCREATE TABLE u (id AUTOKEY) CLUSTERED;"
    assert list(schema.statements(text, "sqlite")) == [
        "CREATE TABLE t ( \n id INTEGER PRIMARY KEY, data BLOB)",
        "CREATE TABLE u (id INTEGER PRIMARY KEY AUTOINCREMENT) WITHOUT ROWID",
    ]
    first = next(iter(schema.statements(text, "postgres")))
    assert first == "CREATE TABLE t ( \n id BIGINT PRIMARY KEY, data BYTEA)"
