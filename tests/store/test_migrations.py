"""Migrations run once, in order, on both databases, and from the first version on."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

import pytest
from support.postgres import PostgresServer

from mailwright.store import reading, schema
from mailwright.store.blobs.api import Blob
from mailwright.store.blobs.database import DatabaseBlobs
from mailwright.store.db.api import Database, Transaction
from mailwright.store.db.postgres import PostgresDatabase
from mailwright.store.db.sqlite import SQLiteDatabase
from mailwright.store.verify import check_blobs


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


# What version 6 of the schema held: a blob in one chunk, by the method that was then, and a message that shows it.
OLD_CONTENT = (
    b'From: a@example.org\r\nSubject: Hello\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset="utf-8"\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\nSGVsbG8=\r\n"
)
OLD_CHUNK = bytes.fromhex(
    "0128b52ffd2492950100f061406578616d706c652e6f726748656c6c6f0d0a534756736247383d0d0a060045ad09ceb"
    "bc0641560ebd75ec67c1d54100ef59596"
)
OLD_COLUMNS = (
    "id, blob, size, received_at, thread, attachment, envelope, bodystructure, structure, preview, subject, senders,"
    " recipients, copies"
)


def fill_version_6(tx: Transaction) -> None:
    tx.run(
        "INSERT INTO blobs (id, hash, size, refs, created_at) VALUES (7, ?, ?, 1, 5)",
        hashlib.sha256(OLD_CONTENT).digest(),
        len(OLD_CONTENT),
    )
    tx.run("INSERT INTO chunks (id, data) VALUES (?, ?)", 7 << 20, OLD_CHUNK)
    tx.run("INSERT INTO blobs (id, hash, size, refs, created_at) VALUES (40, ?, 1, 1, 5)", b"gone")
    tx.run("DELETE FROM blobs WHERE id = 40")
    for message, preview in ((1, "Grüße"), (2, "")):
        marks = ", ".join("?" * 14)
        tx.run(
            f"INSERT INTO messages ({OLD_COLUMNS}) VALUES ({marks})",
            *(message, 7, len(OLD_CONTENT), 5, message, 0, b"(NIL)", b'("text" "plain")', b"\x92\x01\x90"),
            *(preview, "hello", "A", "", ""),
        )


def database(kind: str, place: str) -> SQLiteDatabase | PostgresDatabase:
    return (SQLiteDatabase if kind == "sqlite" else PostgresDatabase)(place, DatabaseBlobs())


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_mail_of_version_6_is_read_and_shared(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    place = str(tmp_path / "mail.db")
    if kind == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        place = server.new_database()
    every = list(schema._migrations())
    with monkeypatch.context() as patched:
        patched.setattr(schema, "_migrations", lambda: iter(every[:6]))
        db = database(kind, place)
        await db.start()
        await db.write(fill_version_6)
        await db.close()
    db = database(kind, place)
    await db.start()
    columns = "envelope, bodystructure, structure, preview"
    rows = [await db.read(reading.read_message, message, columns) for message in (1, 2)]
    assert rows == [(b"(NIL)", b'("text" "plain")', b"\x92\x01\x90", preview) for preview in ("Grüße", "")]
    assert await db.read(lambda tx: tx.blobs.read_whole(tx, 7)) == OLD_CONTENT
    assert await db.read(lambda tx: b"".join(tx.blobs.read(tx, 7, 6, 19))) == b"a@example.org"
    assert await db.read(check_blobs, 10) == []
    same = db.blobs.prepare((OLD_CONTENT,), len(OLD_CONTENT), db.write_now)
    assert await db.write(db.blobs.keep, same, 9) == 7  # the same content is kept once
    other = Blob(hashlib.sha256(b"other").digest(), 5, b"other")
    if kind == "sqlite":
        assert await db.write(db.blobs.keep, other, 9) > 40  # no id is given twice
    for _ in range(2):
        await db.write(db.blobs.release, 7)
    assert await db.read(lambda tx: tx.all("SELECT id FROM chunks")) == []
    await db.close()
