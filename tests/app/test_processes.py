"""Two processes on one database: each hears of what the other did, at once or (SQLite) within a second."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from app.running import ALICE, PASSWORD, Running, Talk, running
from mailwright.app.storage import account_locks
from mailwright.cli.opening import write
from mailwright.directory.accounts import set_disabled
from mailwright.store.blobs.disk import DiskBlobs
from mailwright.store.db.advisory import AccountLocks
from mailwright.store.db.api import Transaction
from mailwright.store.errors import StoreFailed
from mailwright.store.metadata import Annotation, write_server

Pair = tuple[Running, Running]


@pytest.fixture(params=["sqlite", "postgres"])
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    database = (
        request.getfixturevalue("postgres_database")
        if request.param == "postgres"
        else str(tmp_path / "mail.db")
    )
    async with running(tmp_path / "one", database) as one, running(tmp_path / "two", database) as two:
        yield one, two


async def test_idle_hears_of_mail_flags_and_expunges_through_the_other(pair: Pair) -> None:
    here, there = await pair[0].imap(), await pair[1].imap()
    here.say("b SELECT INBOX\r\nc IDLE")
    await here.until("+")
    there.say("b APPEND INBOX {10}")
    await there.until("+")
    there.say("Subject: x")
    await there.until("b OK")
    assert await here.until("* 1 EXISTS")
    there.say("c SELECT INBOX\r\nd STORE 1 +FLAGS (\\Deleted)")
    await there.until("d OK")
    assert "\\Deleted" in await here.until("* 1 FETCH")
    there.say("e EXPUNGE")
    await there.until("e OK")
    assert await here.until("* 1 EXPUNGE")


async def test_many_changes_at_once_arrive(pair: Pair) -> None:
    here, there = await pair[0].imap(), await pair[1].imap()
    here.say("b SELECT INBOX\r\nc IDLE")
    await here.until("+")
    for number in range(1, 31):
        there.say(f"b{number} APPEND INBOX {{10+}}\r\nSubject: x")
    await there.until("b30 OK")
    assert await here.until("* 30 EXISTS")


async def test_a_login_ends_on_the_other(pair: Pair) -> None:
    here = await pair[0].imap()
    await pair[1].app.store.write(set_disabled, ALICE, True)
    assert (await here.line()).startswith("* BYE [CONTACTADMIN]")


async def test_a_command_on_the_command_line_is_heard_of(pair: Pair) -> None:
    here = await pair[0].imap()
    await asyncio.to_thread(write, pair[0].app.config, set_disabled, ALICE, True)
    assert (await here.line()).startswith("* BYE [CONTACTADMIN]")


async def test_notify_hears_of_mailboxes_and_annotations_through_the_other(pair: Pair) -> None:
    here, there = await pair[0].imap(), await pair[1].imap()
    here.say("b NOTIFY SET (personal (MailboxName MessageNew MessageExpunge MailboxMetadataChange))")
    await here.until("b OK")
    there.say("b CREATE Work")
    assert await here.until('* LIST (\\HasNoChildren) "/" Work')
    there.say("c APPEND Work {10+}\r\nSubject: x")
    assert await here.until("* STATUS Work (MESSAGES 1")
    there.say('d SETMETADATA Work (/private/comment "x")')
    assert await here.until("* METADATA Work /private/comment")


@pytest.mark.parametrize("pair", ["postgres"], indirect=True)
async def test_what_happened_while_the_line_was_cut_is_told_afterwards(
    pair: Pair, postgres_database: str
) -> None:
    here, there = await pair[0].imap(), await pair[1].imap()
    here.say("b SELECT INBOX\r\nc IDLE")
    await here.until("+")
    there.say("b APPEND INBOX {10+}\r\nSubject: x")
    await there.until("b OK")
    await here.until("* 1 EXISTS")  # so it listens
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        cut = connection.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'mailwright notify'"
        ).fetchall()
    assert len(cut) >= 3  # each listens, and one has sent
    there.say("c APPEND INBOX {10+}\r\nSubject: y")
    await there.until("c OK")
    assert await here.until("* 2 EXISTS")


@pytest.mark.parametrize("pair", ["postgres"], indirect=True)
async def test_who_waits_for_news_is_told_when_the_store_answers_again(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle, notify, there = await pair[0].imap(), await pair[0].imap(), await pair[1].imap()
    idle.say("b SELECT INBOX\r\nc IDLE")
    await idle.until("+")
    notify.say("b NOTIFY SET (personal (MessageNew MessageExpunge ServerMetadataChange))")
    await notify.until("b OK")
    asked = asyncio.Event()

    async def fail(*_: object, **__: object) -> object:
        asked.set()
        raise StoreFailed("the database server does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(pair[0].app.store.db, "read", fail)
        there.say("b APPEND INBOX {10+}\r\nSubject: x")
        await there.until("b OK")
        await asked.wait()
        await pair[1].app.store.write(write_server, [Annotation("/shared/comment", b"hello")])
        await asyncio.sleep(0.2)
    assert await idle.line() == "* 1 EXISTS"
    assert (await notify.line()).startswith("* STATUS INBOX (MESSAGES 1")
    assert await notify.line() == '* METADATA "" /shared/comment'
    idle.say("DONE")
    assert (await idle.until("c ")).startswith("c OK")


async def test_all_files_are_not_listed_every_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []

    def look(self: DiskBlobs, tx: Transaction, before: int) -> int:
        looked.append(before)
        return 0

    monkeypatch.setattr(DiskBlobs, "unlink_orphans", look)
    async with running(tmp_path, blobs=str(tmp_path / "blobs")) as server:
        for _ in range(3):
            await server.app._sweep()
        while not looked:  # the server itself was the first
            await asyncio.sleep(0.01)
        assert len(looked) == 1


# POP3 (RFC 1939 3): one session at a time for each maildrop, whichever process it comes to


async def log_in(server: Running) -> tuple[Talk, str]:
    talk = await server.connect("pop3")
    talk.say(f"USER {ALICE}\r\nPASS {PASSWORD}")
    await talk.until("+OK")
    return talk, await talk.line()


async def listing(talk: Talk, command: str) -> list[str]:
    talk.say(command)
    await talk.until("+OK")
    lines: list[str] = []
    while (line := await talk.line()) != ".":
        lines.append(line)
    return lines


async def append(server: Running, *subjects: str) -> None:
    talk = await server.imap()
    for subject in subjects:
        content = f"Subject: {subject}\r\n"
        talk.say(f"z APPEND INBOX {{{len(content)}+}}\r\n{content}")
        await talk.until("z OK")


@pytest.mark.parametrize("pair", ["postgres"], indirect=True)
async def test_a_maildrop_is_locked_for_the_other_process_too(pair: Pair) -> None:
    await append(pair[0], "a", "b", "c")
    here, _ = await log_in(pair[0])
    unique = await listing(here, "UIDL")
    here.say("DELE 2")
    await here.until("+OK")
    _, refusal = await log_in(pair[1])
    assert refusal.startswith("-ERR [IN-USE]")
    await append(pair[1], "d")
    assert len(await listing(here, "LIST")) == 2, "what came meanwhile is not in this session"
    here.say("QUIT")
    await here.until("+OK")
    there, _ = await log_in(pair[1])
    left = [line.split()[1] for line in await listing(there, "UIDL")]
    assert left[:2] == [unique[0].split()[1], unique[2].split()[1]]
    assert len(left) == 3
    there.say("DELE 1")
    await there.until("+OK")
    there.leave()  # without QUIT nothing goes
    while (again := await log_in(pair[0]))[1].startswith("-ERR [IN-USE]"):
        await asyncio.sleep(0.02)
    assert len(await listing(again[0], "UIDL")) == 3


@pytest.mark.parametrize("pair", ["postgres"], indirect=True)
async def test_a_lock_outlives_its_broken_connection(pair: Pair, postgres_database: str) -> None:
    await log_in(pair[0])
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        cut = connection.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'mailwright locks'"
        ).fetchall()
    assert len(cut) == 1
    locks = account_locks(pair[0].app.config)
    assert locks is not None
    held = pair[0].app._maildrop_locks
    assert held is not None
    other = await held.acquire(77)  # takes again what was held
    assert other is not None
    assert await locks.acquire(77) is None
    _, refusal = await log_in(pair[1])
    assert refusal.startswith("-ERR [IN-USE]")
    await other.release()
    mine = await locks.acquire(77)
    assert mine is not None
    assert await held.acquire(77) is None
    await locks.close()


async def test_who_cannot_ask_for_the_lock_is_told_to_try_again(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        server.app._pop3 = dataclasses.replace(server.app._pop3, locks=AccountLocks("host=127.0.0.1 port=1"))
        _, refusal = await log_in(server)
        assert refusal.startswith("-ERR [SYS/TEMP]")
