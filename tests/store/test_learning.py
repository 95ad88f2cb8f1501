"""The store learns from its mail, and nothing of that mail is lost by it."""

from __future__ import annotations

from typing import Any
from unittest.mock import AsyncMock

import pytest
from support.accounts import new_account

from mailwright.store import arrivals, learning, mailboxes, reading
from mailwright.store.blobs import dictionaries
from mailwright.store.blobs.codec import FIRST
from mailwright.store.blobs.database import DatabaseBlobs
from mailwright.store.db.api import Database, Transaction
from mailwright.store.db.sqlite import SQLiteDatabase
from mailwright.store.errors import StoreFailed
from mailwright.store.incoming import prepare_small
from mailwright.store.learning import Learner, train
from mailwright.store.verify import check_blobs

COLUMNS = "p.uid, m.envelope, m.bodystructure, m.structure, m.preview, m.blob"


def message(number: int) -> bytes:
    return (
        b"From: Robin Example <robin%d@example.org>\r\nTo: alice@example.org\r\nSubject: Report %d\r\n"
        b"Date: Mon, 05 Jan 2026 08:21:31 +0000\r\nMessage-ID: <%d@example.org>\r\n\r\n"
        b"Dear Alice,\r\nthis is what came of number %d, as every morning.\r\nKind regards, Robin\r\n"
    ) % (number % 9, number, number, number)


def add(tx: Transaction, account: int, box: int, first: int, last: int) -> None:
    coming = [arrivals.Arrival(prepare_small(tx.blobs, message(number))) for number in range(first, last)]
    arrivals.add_all(tx, account, box, coming, now=1_770_000_000)


def read_back(tx: Transaction, account: int, box: int) -> list[tuple[Any, ...]]:
    return [
        (*row[:-1], b"".join(tx.blobs.read(tx, row[-1])))
        for row in reading.read_joined(tx, account, box, 1, 10_000, COLUMNS)
    ]


def octets(tx: Transaction, message: int) -> int:
    row = tx.one("SELECT length(envelope) + length(preview) FROM messages WHERE id = ?", message)
    assert row is not None
    return int(row[0])


async def learn(learner: Learner) -> None:
    learner.notice()
    await learner.close()


async def test_a_dictionary_is_learned_and_used(db: Database, account: int) -> None:
    box = (await db.read(mailboxes.find_mailbox, account, "INBOX")).id
    learner = Learner(db, db.blobs)
    await learner.start()
    await db.write(add, account, box, 0, FIRST - 1)
    await learn(learner)
    assert await db.read(dictionaries.read_newest) is None  # not enough yet
    await db.write(add, account, box, FIRST - 1, FIRST + 1)
    await learn(learner)
    newest = await db.read(dictionaries.read_newest)
    assert newest is not None
    await db.write(add, account, box, FIRST + 1, FIRST + 20)
    await learn(learner)
    assert await db.read(dictionaries.read_newest) == newest  # no other for so few
    rows = await db.read(read_back, account, box)
    assert [row[-1] for row in rows] == [message(number) for number in range(FIRST + 20)]
    assert all(b'"Robin Example"' in row[1] and row[4].startswith("Dear Alice, ") for row in rows)
    first, last = await db.read(
        lambda tx: (
            tx.one("SELECT min(message), max(message) FROM places WHERE account = ?", account) or (0, 0)
        )
    )
    assert await db.read(octets, last) < await db.read(octets, first) / 2
    assert await db.read(check_blobs, 10) == []


async def test_mail_that_comes_meanwhile_is_no_reason_to_learn_another(
    db: Database, account: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = db.read_unhurried

    async def busily(operation: Any, *args: Any) -> object:
        for number in range(FIRST):
            db.blobs.codec.look_at(message(number))
        return await read(operation, *args)

    monkeypatch.setattr(db, "read_unhurried", busily)
    box = (await db.read(mailboxes.find_mailbox, account, "INBOX")).id
    learner = Learner(db, db.blobs)
    await learner.start()
    await db.write(add, account, box, 0, FIRST + 1)
    await learn(learner)
    newest = await db.read(dictionaries.read_newest)
    assert newest is not None
    await db.write(add, account, box, FIRST + 1, 5 * FIRST)
    await learn(learner)
    assert await db.read(dictionaries.read_newest) == newest


async def test_another_is_learned_when_there_is_much_more_mail(
    db: Database, account: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "GROWTH", 2)
    box = (await db.read(mailboxes.find_mailbox, account, "INBOX")).id
    learner = Learner(db, db.blobs)
    await learner.start()
    for start in (0, FIRST, 2 * FIRST):
        await db.write(add, account, box, start, start + FIRST)
        await learn(learner)
    newest = await db.read(dictionaries.read_newest)
    assert newest is not None
    assert newest[0] == 2
    await db.write(add, account, box, 3 * FIRST, 3 * FIRST + 1)
    rows = await db.read(read_back, account, box)
    assert [row[-1] for row in rows] == [message(number) for number in range(3 * FIRST + 1)]


async def test_mail_that_comes_all_at_once_is_learned_from_before_it_is_kept(
    db: Database, account: int
) -> None:
    box = (await db.read(mailboxes.find_mailbox, account, "INBOX")).id
    learner = Learner(db, db.blobs)
    await learner.start()
    coming = [arrivals.Arrival(prepare_small(db.blobs, message(number))) for number in range(FIRST)]
    await learn(learner)
    await db.write(arrivals.add_all, account, box, coming, now=1_770_000_000)
    stored = await db.read(lambda tx: tx.all("SELECT preview FROM messages ORDER BY id"))
    assert {bytes(preview)[1] for (preview,) in stored} == {1}
    rows = await db.read(read_back, account, box)
    assert [row[-1] for row in rows] == [message(number) for number in range(FIRST)]


async def test_a_restarted_store_goes_on_with_what_was_learned(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "FIRST", 60)
    stored = []
    account = 0
    for start in (0, 100):
        db = SQLiteDatabase(f"{tmp_path}/mail.db", DatabaseBlobs())
        await db.start()
        account = account or await db.write(new_account, "a@example.org")
        box = (await db.read(mailboxes.find_mailbox, account, "INBOX")).id
        learner = Learner(db, db.blobs)
        await learner.start()
        await db.write(add, account, box, start, start + 100)
        await learn(learner)
        rows = await db.read(read_back, account, box)
        assert [row[-1] for row in rows] == [message(number) for number in range(start + 100)]
        stored.append(await db.read(lambda tx: tx.all("SELECT data FROM blobs ORDER BY id DESC LIMIT 1")))
        await db.close()
    assert [rows[0][0][1] for rows in stored] == [0, 1]  # the number of the dictionary


async def test_what_cannot_be_learned_does_no_harm(
    db: Database, account: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train([]) is train([b"one"]) is None
    box = (await db.read(mailboxes.find_mailbox, account, "INBOX")).id
    learner = Learner(db, db.blobs)
    await db.write(add, account, box, 0, FIRST)
    with monkeypatch.context() as patched:
        patched.setattr(db, "read_unhurried", AsyncMock(return_value=None))
        await learn(learner)
    assert await db.read(dictionaries.read_newest) is None

    def fail(*_: object) -> None:
        raise StoreFailed("the disk is gone")

    await db.write(add, account, box, FIRST, 2 * FIRST + 1)
    monkeypatch.setattr(dictionaries, "keep", fail)
    await learn(learner)
    await db.write(add, account, box, 2 * FIRST + 1, 2 * FIRST + 9)
    assert len(await db.read(read_back, account, box)) == 2 * FIRST + 9
    assert {row[0] for row in await db.read(lambda tx: tx.all("SELECT count(*) FROM dictionaries"))} == {0}


async def test_mail_comes_in_though_a_dictionary_is_damaged(db: Database, account: int) -> None:
    await db.write(dictionaries.keep, b"a dictionary", 300, 1_700_000_000)
    await db.write(lambda tx: tx.run("UPDATE dictionaries SET data = ?", b"another"))
    box = (await db.read(mailboxes.find_mailbox, account, "INBOX")).id
    learner = Learner(db, db.blobs)
    await learner.start()
    await db.write(add, account, box, 0, 3)
    assert [row[-1] for row in await db.read(read_back, account, box)] == [
        message(number) for number in range(3)
    ]
