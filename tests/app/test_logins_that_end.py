"""Open sessions end soon when their login holds no longer, whoever sees to that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.running import ALICE, HASHED, Running, running
from mailwright.directory.accounts import remove_account, remove_password, set_disabled, set_password
from mailwright.directory.logins import read_credential_marks
from mailwright.directory.passwords import hash_password
from mailwright.store.blobs.database import DatabaseBlobs
from mailwright.store.db.api import Operation, P, T
from mailwright.store.db.sqlite import SQLiteDatabase
from mailwright.store.notify.file import FileNotifier


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path) as server:
        yield server


async def test_a_changed_password_ends_all_sessions_that_used_it(server: Running) -> None:
    imap, idle, pop3, submission = (
        await server.imap(),
        await server.imap(),
        await server.pop3(),
        await server.submission(),
    )
    idle.say("b IDLE")
    await idle.until("+")
    await server.app.store.write(set_password, ALICE, *hash_password("looking-glass"), now=2)
    for client, farewell in (
        (imap, "* BYE [EXPIRED] The password was changed"),
        (idle, "* BYE [EXPIRED] The password was changed"),
        (pop3, "-ERR [AUTH] The password was changed"),
        (submission, "421 4.7.0 The password was changed"),
    ):
        assert (await client.line()).startswith(farewell)
        assert await client.line() == ""
    again = await server.imap("looking-glass")
    again.say("b NOOP")
    await again.until("b OK")


async def test_the_same_password_set_anew_ends_them_too(server: Running) -> None:
    imap = await server.imap()
    await server.app.store.write(set_password, ALICE, *hash_password("wonderland"), now=2)
    assert (await imap.line()).startswith("* BYE [EXPIRED]")


async def test_a_disabled_account(server: Running) -> None:
    imap, pop3, submission = await server.imap(), await server.pop3(), await server.submission()
    await server.app.store.write(set_disabled, ALICE, True)
    assert (await imap.line()).startswith("* BYE [CONTACTADMIN] This account is disabled")
    assert (await pop3.line()).startswith("-ERR [AUTH] This account is disabled")
    assert (await submission.line()).startswith("421 4.7.0 This account is disabled")
    refused = await server.connect("imap")
    refused.say(f"a LOGIN {ALICE} wonderland")
    assert (await refused.until("a ")).startswith("a NO")


async def test_a_removed_account(server: Running) -> None:
    imap = await server.imap()
    imap.say("b SELECT INBOX\r\nc IDLE")
    await imap.until("+")
    await server.app.store.write(remove_account, ALICE)
    assert (await imap.until("* BYE")).startswith("* BYE [CONTACTADMIN] This account was removed")


async def test_a_revoked_app_password_ends_only_its_own_sessions(server: Running) -> None:
    store = server.app.store
    for name, password in (("phone", "tea-party"), ("tablet", "croquet")):
        await store.write(set_password, ALICE, *hash_password(password), now=2, name=name)
    main, phone, tablet = await server.imap(), await server.imap("tea-party"), await server.imap("croquet")
    await store.write(remove_password, ALICE, "phone")
    assert (await phone.line()).startswith("* BYE [EXPIRED]")
    await store.write(set_password, ALICE, *hash_password("looking-glass"), now=3)
    assert (await main.line()).startswith("* BYE [EXPIRED]")
    tablet.say("b NOOP")
    await tablet.until("b OK")


async def test_a_message_on_its_way_is_still_taken(server: Running) -> None:
    client = await server.submission()
    client.say(f"MAIL FROM:<{ALICE}>\r\nRCPT TO:<{ALICE}>\r\nDATA")
    await client.until("354")
    client.say("Subject: late\r\n")
    await server.app.store.write(set_password, ALICE, *HASHED, now=2)  # the same hash: nothing ends
    await server.app.store.write(set_disabled, ALICE, True)
    client.say("said already\r\n.")
    assert (await client.line()).startswith("250")
    assert (await client.line()).startswith("421 4.7.0")


async def test_what_was_pipelined_is_not_begun(server: Running) -> None:
    client = await server.imap()
    client.say("b APPEND INBOX {9}")
    await client.until("+")
    client.say("Subject: ")
    await client.until("b OK")
    client.say("c SELECT INBOX")
    await client.until("c OK")
    logins, read, begun = server.app.authenticator.logins, server.app.store.db.read, asyncio.Event()

    async def read_late(operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a command asks for comes only when its session has been told that the login ended."""
        if operation is not read_credential_marks:
            begun.set()
            while logins.count:
                await asyncio.sleep(0.001)
        return await read(operation, *args, **kwargs)

    server.app.store.db.read = read_late  # type: ignore[method-assign]
    client.say("d FETCH 1 (FLAGS)\r\ne DELETE Trash")
    await begun.wait()
    await server.app.store.write(set_disabled, ALICE, True)
    heard = []
    while line := await client.line():
        heard.append(line)
    assert heard[-1].startswith("* BYE [CONTACTADMIN]")
    assert not any(line.startswith("e ") for line in heard)


async def test_another_process_is_found_out_at_the_next_look(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileNotifier, "others_wrote", lambda *_: None)  # else it is found out within a second
    client = await server.imap()
    other = SQLiteDatabase(server.app.config.database, DatabaseBlobs())
    await other.start()
    await other.write(set_disabled, ALICE, True)
    await other.close()
    client.say("b NOOP")
    await client.until("b OK")
    server.app.authenticator.logins.check()  # as it is done every minute
    assert (await client.line()).startswith("* BYE [CONTACTADMIN]")


async def test_who_has_left_is_forgotten(server: Running) -> None:
    logins = server.app.authenticator.logins
    client = await server.imap()
    assert logins.count == 1
    client.say("b LOGOUT")
    while await client.line():
        pass
    async with asyncio.timeout(60):
        while logins.count:
            await asyncio.sleep(0.01)
