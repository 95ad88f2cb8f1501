"""What is announced, and how it reaches subscribers in other processes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import psycopg
import pytest

from mailwright.directory.accounts import (
    add_account,
    remove_account,
    remove_password,
    set_disabled,
    set_password,
)
from mailwright.directory.domains import add_domain
from mailwright.store import acl, changes, mailboxes, metadata, schema
from mailwright.store.blobs.database import DatabaseBlobs
from mailwright.store.db.api import Transaction
from mailwright.store.db.postgres import PostgresDatabase, PostgresTransaction
from mailwright.store.db.sqlite import SQLiteDatabase
from mailwright.store.metadata import Annotation
from mailwright.store.model import Kind
from mailwright.store.notify.api import SERVER, logins_of
from mailwright.store.notify.postgres import CHANNEL, PostgresNotifier

Database = SQLiteDatabase | PostgresDatabase


async def announced(db: Database, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> set[int]:
    """The subjects that an operation announces."""

    def run(tx: Transaction) -> set[int]:
        operation(tx, *args, **kwargs)
        return set(tx.announced)  # type: ignore[attr-defined]

    return await db.write(run)


async def test_what_ends_logins_is_announced(db: Database) -> None:
    await db.write(add_domain, "example.org", now=1)
    account = (await db.write(add_account, "ann@example.org", now=1)).id
    subject = {logins_of(account)}
    assert await announced(db, set_password, "ann@example.org", "hash", None, now=1) == subject
    assert await announced(db, set_password, "ann@example.org", "hash", None, now=1, name="phone") == subject
    assert await announced(db, remove_password, "ann@example.org", "phone") == subject
    assert await announced(db, set_disabled, "ann@example.org", True) == subject
    assert logins_of(account) in await announced(db, remove_account, "ann@example.org")


async def test_what_others_may_see_is_announced_to_all(db: Database, account: int) -> None:
    assert await announced(db, mailboxes.create_mailbox, account, "Work") == {account}
    assert await announced(db, acl.set_acl, account, "Work", "anyone", "", "lr") == {account, SERVER}
    assert await announced(db, mailboxes.create_mailbox, account, "Work/Below") == {account, SERVER}
    assert await announced(db, acl.delete_acl, account, "Work", "anyone") == {account, SERVER}
    assert await announced(db, metadata.write_server, [Annotation("/shared/comment", b"x")]) == {SERVER}


async def test_annotations_are_logged_by_name_and_reader(db: Database, account: int) -> None:
    inbox = (await db.read(mailboxes.find_mailbox, account, "INBOX")).id
    since = await db.read(changes.read_modseq, account)
    both = [
        Annotation("/private/a b", b"1"),
        Annotation("/shared/comment", None),
        Annotation("/private/c", b"2"),
    ]
    assert await db.write(metadata.write, account, "INBOX", both) == (account, since + 1)
    assert await db.write(metadata.write, account, "", [Annotation("/private/x", b"")]) == (
        account,
        since + 2,
    )
    found = await db.read(changes.read_changes, account, since)
    assert [(one.modseq, one.mailbox, one.kind, one.uids, one.messages) for one in found] == [
        (since + 1, inbox, Kind.METADATA, "/shared/comment", "0"),
        (since + 1, inbox, Kind.METADATA, "/private/a b\n/private/c", str(account)),
        (since + 2, 0, Kind.METADATA, "/private/x", str(account)),
    ]


async def test_a_subscription_without_a_mailbox_is_logged(db: Database, account: int) -> None:
    since = await db.read(changes.read_modseq, account)
    await db.write(mailboxes.subscribe, account, "Other Users/bob@example.org/Work", True)
    await db.write(mailboxes.subscribe, account, "Other Users/bob@example.org/Work", True)
    found = await db.read(changes.read_changes, account, since)
    assert [(one.mailbox, one.kind) for one in found] == [(0, Kind.MAILBOX)]


# Between processes


class Ears:
    """A subscriber that remembers."""

    def __init__(self) -> None:
        self.heard: dict[int, int] = {}
        self._changed = asyncio.Event()

    def __call__(self, account: int, modseq: int) -> None:
        self.heard[account] = modseq
        self._changed.set()

    async def until(self, wanted: dict[int, int]) -> None:
        async with asyncio.timeout(60):
            while not wanted.items() <= self.heard.items():
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
def dsn(postgres_database: str) -> str:
    with psycopg.connect(postgres_database) as connection:
        schema.migrate(PostgresTransaction(connection, DatabaseBlobs()))
    return postgres_database


@pytest.fixture
async def pair(dsn: str) -> AsyncIterator[tuple[PostgresNotifier, PostgresNotifier]]:
    here, there = PostgresNotifier(dsn), PostgresNotifier(dsn)
    yield here, there
    await here.close()
    await there.close()


async def connected(here: PostgresNotifier, there: PostgresNotifier, ears: Ears) -> None:
    """Until what the one publishes is heard at the other."""
    here.subscribe(99, ears)
    async with asyncio.timeout(60):
        while 99 not in ears.heard:
            there.publish(99, 1)
            await asyncio.sleep(0.05)


async def test_many_subjects_in_one_go(pair: tuple[PostgresNotifier, PostgresNotifier]) -> None:
    here, there = pair
    ears = Ears()
    await connected(here, there, ears)
    many = {number: 10**15 + number for number in range(100, 1100)}
    for number in [*many, -7, 0]:
        here.subscribe(number, ears)
    for number, modseq in many.items():
        there.publish(number, modseq - 1)
        there.publish(number, modseq)
    there.publish(-7, 0)
    there.publish(0, 0)
    await ears.until({**many, -7: 0, 0: 0})


async def test_what_was_published_last_is_sent_before_the_end(dsn: str) -> None:
    here, there, ears = PostgresNotifier(dsn), PostgresNotifier(dsn), Ears()
    await connected(here, there, ears)
    here.subscribe(5, ears)
    last = PostgresNotifier(dsn)
    last.publish(5, 77)
    await last.close()
    await ears.until({5: 77})
    await here.close()
    await there.close()


async def test_what_is_not_ours_is_passed_over(
    pair: tuple[PostgresNotifier, PostgresNotifier], dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    here, there = pair
    ears = Ears()
    await connected(here, there, ears)
    here.subscribe(5, ears)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute("SELECT pg_notify(%s, 'DROP TABLE')", (CHANNEL,))
    there.publish(5, 3)
    await ears.until({5: 3})
    assert "is not ours" in caplog.text


async def test_a_server_that_was_started_again_gives_anothers_connection_the_number_of_ours(
    pair: tuple[PostgresNotifier, PostgresNotifier], dsn: str
) -> None:
    here, there = pair
    ears = Ears()
    await connected(here, there, ears)
    here._ours = there._ours
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'mailwright notify' AND pid <> %s",
            (there._ours,),
        )
    here.subscribe(5, ears)
    async with asyncio.timeout(60):
        for n in itertools.count():
            there.publish(5, n)
            await asyncio.sleep(0.05)
            if 5 in ears.heard:
                break


async def test_a_server_that_is_not_there_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    notifier, ears = PostgresNotifier("postgresql://127.0.0.1:1/nothing"), Ears()
    notifier.subscribe(1, ears)
    notifier.publish(1, 2)
    assert ears.heard == {1: 2}  # here it is heard all the same
    async with asyncio.timeout(60):
        while "not told of changes" not in caplog.text or "told late" not in caplog.text:
            await asyncio.sleep(0.01)
    for task in (notifier._sending, notifier._listening):
        assert task is not None
        task.cancel()
