"""Migrations run once, in order, on both databases, and from the first version on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest
from support.postgres import PostgresServer

from mailwright.queue import trace
from mailwright.store import reading, schema
from mailwright.store.blobs.api import Blob
from mailwright.store.blobs.database import DatabaseBlobs
from mailwright.store.db.api import Database, Transaction
from mailwright.store.db.postgres import PostgresDatabase
from mailwright.store.db.sqlite import SQLiteDatabase
from mailwright.store.marks import NONE, Mark, read_marks
from mailwright.store.schema import backfill
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


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Where a database may begin."""
    if kind == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        return server.new_database()
    return str(tmp_path / "mail.db")


async def migrated(
    kind: str,
    place: str,
    monkeypatch: pytest.MonkeyPatch,
    version: int,
    fill: Callable[[Transaction], None],
) -> SQLiteDatabase | PostgresDatabase:
    """A database that was filled when the schema had this version, and then brought up to date."""
    every = [one for one in schema._migrations() if one[0][0] <= version]
    with monkeypatch.context() as patched:
        patched.setattr(schema, "_migrations", lambda: iter(every))
        db = database(kind, place)
        await db.start()
        await db.write(fill)
        await db.close()
    db = database(kind, place)
    await db.start()
    return db


async def test_mail_of_version_6_is_read_and_shared(
    kind: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = await migrated(kind, place, monkeypatch, 6, fill_version_6)
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


DATES = (b"Mon, 5 Jan 2026 23:30:00 -0800", b"Tue, 6 Jan 2026 11:00:00 +0545", None, b"6 Jan 2026 07:30 GMT")


def fill_version_9(tx: Transaction) -> None:
    """Messages as they were before their zones were kept."""
    for message, date in enumerate(DATES, 1):
        envelope = b'("%b" "Hello" NIL)' % date if date else b'(NIL "Hello" NIL)'
        packed = tx.blobs.codec.pack([envelope + b" " * 200])[0] if message == 2 else envelope
        tx.run(
            f"INSERT INTO messages ({OLD_COLUMNS}, sent_at) VALUES ({', '.join('?' * 15)})",
            *(message, 7, 1, 5, message, 0, packed, b"()", b"", b"", "hello", "", "", ""),
            1_767_684_600 if date else None,
        )


async def test_zones_of_older_mail_are_read_from_its_envelopes(
    kind: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "_PORTION", 2)
    db = await migrated(kind, place, monkeypatch, 9, fill_version_9)
    rows = await db.read(lambda tx: tx.all("SELECT sent_zone FROM messages ORDER BY id"))
    assert rows == [(-480,), (345,), (None,), (0,)]
    await db.close()


def fill_traces_of_version_9(tx: Transaction) -> None:
    for number, names in ((1, ("1@a.example", "bob@b.example")), (2, ("bob@b.example",)), (3, ())):
        tx.run(
            "INSERT INTO traces (id, at, account, message_id, reverse_path) VALUES (?, 5, 1, '1@a.example', '')",
            number,
        )
        tx.run(
            "INSERT INTO trace_events (trace, n, at, kind, data) VALUES (?, 0, 5, 'accepted', ?)",
            number,
            '{"origin": "carol"}',
        )
        for name in names:
            tx.run("INSERT INTO trace_keys (name, trace) VALUES (?, ?)", name, number)


async def test_records_of_version_9_are_found_and_told(
    kind: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = await migrated(kind, place, monkeypatch, 9, fill_traces_of_version_9)
    assert await db.read(trace.find, "Bob@b.example") == [2, 1]
    assert await db.read(trace.find, "<1@a.example>") == [1]
    record = await db.read(trace.read, 2)
    assert record is not None
    assert [(event.at, event.kind, event.data) for event in record.events] == [
        (5, "accepted", {"origin": "carol"})
    ]
    await db.close()


OLD_PLACES = [  # mailbox, UID, modseq, flags and keywords
    (1, 1, 7, 0, ""),
    (1, 2, 8, 1, "$Work"),
    (1, 5, 9, 1, "$Work"),
    (2, 1, 9, 1, ""),
]


def fill_version_13(tx: Transaction) -> None:
    """Places as they were when each had flags of its own; mailbox 3 is empty."""
    for mailbox in (1, 2, 3):
        tx.run(
            "INSERT INTO mailboxes (account, id, name, uidvalidity, uidnext, modseq) VALUES (1, ?, ?, 1, 9, 9)",
            mailbox,
            f"Box{mailbox}",
        )
    for box, uid, modseq, flags, keywords in OLD_PLACES:
        tx.run("INSERT INTO places VALUES (1, ?, ?, 77, ?, ?, ?, 5, 6)", box, uid, modseq, flags, keywords)


async def test_flags_of_version_13_are_kept(kind: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    db = await migrated(kind, place, monkeypatch, 13, fill_version_13)
    for mailbox in (1, 2, 3):
        places = await db.read(reading.read_range, 1, mailbox)
        assert [(mailbox, *one[:1], *one[2:5]) for one in places] == [
            old for old in OLD_PLACES if old[0] == mailbox
        ]
        assert {(one.message, one.internal_date, one.saved_at) for one in places} <= {(77, 5, 6)}
        marks = await db.read(read_marks, 1, mailbox)
        (fresh,) = await db.read(
            lambda tx, box: tx.one("SELECT fresh FROM mailboxes WHERE id = ?", box) or (0,), mailbox
        )
        assert marks[fresh] == Mark(NONE, 0)
        assert len(marks) == (1 if mailbox == 3 else 2)
    await db.close()


def many_keywords_of_version_13(tx: Transaction) -> None:
    """Each message has keywords of its own, which are longer than what an index of PostgreSQL takes."""
    tx.run(
        "INSERT INTO mailboxes (account, id, name, uidvalidity, uidnext, modseq) VALUES (1, 1, 'B', 1, 99, 9)"
    )
    for uid in range(1, 51):
        words = " ".join(f"k{hashlib.sha512(bytes([uid, n])).hexdigest()}" for n in range(60))
        tx.run("INSERT INTO places VALUES (1, 1, ?, 77, 7, 0, ?, 5, 6)", uid, words)


async def test_marks_of_many_and_long_keywords(
    kind: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = await migrated(kind, place, monkeypatch, 13, many_keywords_of_version_13)
    places = await db.read(reading.read_range, 1, 1)
    assert len({one.keywords for one in places}) == 50
    await db.close()


async def test_a_mark_is_found_at_once_where_each_message_has_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrations = dict(schema._migrations())
    (marks,) = [text for (number, _), text in migrations.items() if number == 14]
    older = [one for one in migrations.items() if one[0][0] < 14]
    monkeypatch.setattr(schema, "_migrations", lambda: iter(older))

    def plan(tx: Transaction) -> str:
        for statement in schema.statements(marks, "sqlite"):
            if statement.startswith("UPDATE places SET mark"):
                return str(tx.all(f"EXPLAIN QUERY PLAN {statement}"))
            tx.run(statement)
        raise AssertionError

    db = database("sqlite", str(tmp_path / "mail.db"))
    await db.start()
    assert "flags=? AND <expr>=?" in await db.write(plan)
    await db.close()
