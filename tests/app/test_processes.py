"""Two processes on one database: each hears of what the other did, at once or (SQLite) within a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from support.postgres import PostgresServer

from app.running import ALICE, Running, running
from mailwright.cli.opening import write
from mailwright.directory.accounts import set_disabled

Pair = tuple[Running, Running]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> str:
    return postgres.new_database()


@pytest.fixture(params=["sqlite", "postgres"])
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    database = (
        request.getfixturevalue("database") if request.param == "postgres" else str(tmp_path / "mail.db")
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
async def test_what_happened_while_the_line_was_cut_is_told_afterwards(pair: Pair, database: str) -> None:
    here, there = await pair[0].imap(), await pair[1].imap()
    here.say("b SELECT INBOX\r\nc IDLE")
    await here.until("+")
    there.say("b APPEND INBOX {10+}\r\nSubject: x")
    await there.until("b OK")
    await here.until("* 1 EXISTS")  # so it listens
    with psycopg.connect(database, autocommit=True) as connection:
        cut = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'mailwright notify'"
        ).fetchall()
    assert len(cut) >= 3  # each listens, and one has sent
    there.say("c APPEND INBOX {10+}\r\nSubject: y")
    await there.until("c OK")
    assert await here.until("* 2 EXISTS")
