"""Large messages, slow clients, silence and shutdown."""

from __future__ import annotations

import asyncio
import hashlib
import tracemalloc
from array import array
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from support.accounts import new_account
from support.stores import open_store
from support.streams import TLS, MemoryStream

from imap.house import NOW, Directory, sample
from mailwright.base.clock import ManualClock
from mailwright.base.limits import Limits
from mailwright.imap.fetch.pieces import Remote
from mailwright.imap.fetch.plan import Plan
from mailwright.imap.fetch.read import read_contents, read_slice
from mailwright.imap.journal import read_heard
from mailwright.imap.selected import read_news_and_uids
from mailwright.imap.service import Service
from mailwright.imap.session import Session
from mailwright.imap.syntax.fetch import Attribute, Section
from mailwright.imap.view import Run
from mailwright.sasl.api import Account
from mailwright.store.arrivals import add
from mailwright.store.db.api import Transaction
from mailwright.store.errors import StoreBusy, StoreFull
from mailwright.store.mailboxes import find_mailbox
from mailwright.store.messages import expunge
from mailwright.store.store import Store

MEGABYTE = 1024 * 1024


class Home:
    """A store with Alice in it, and her client."""

    def __init__(self, store: Store, account: int, limits: Limits | None = None) -> None:
        self.store = store
        self.account = account
        self.service = Service(
            store,
            Directory({"alice": account}),
            ManualClock(NOW),
            hostname="mail.example.org",
            server_secret=b"s" * 32,
            limits=limits,
        )

    def connect(
        self, write_ahead: int | None = None, logged_in: bool = True
    ) -> tuple[MemoryStream, asyncio.Task[None]]:
        stream = MemoryStream(tls=TLS, write_ahead=write_ahead)
        session = Session(stream, self.service)
        if logged_in:
            session.log_in(Account(self.account, "alice@example.org"))
        return stream, asyncio.ensure_future(session.run())


@pytest_asyncio.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with open_store(tmp_path) as store:
        yield Home(store, await store.write(new_account, "alice@example.org"))


async def reply(stream: MemoryStream, tag: bytes) -> bytes:
    """The tagged reply, past all that stands before it."""
    while not (line := await stream.line()).startswith(tag + b" "):
        assert line, "the server hung up"
    return line


async def take(stream: MemoryStream, count: int) -> bytes:
    """So many octets, in small sips."""
    found = bytearray()
    while len(found) < count:
        await asyncio.sleep(0)
        assert not stream.closed
        sip = min(8192, count - len(found))
        found += stream._output[:sip]
        del stream._output[:sip]
        stream._changed.set()
    return bytes(found)


async def test_a_large_message_comes_and_goes_without_being_in_memory(home: Home) -> None:
    stream, session = home.connect(write_ahead=256 * 1024)
    await stream.line()
    head = b"Subject: large\r\nContent-Type: application/octet-stream\r\n\r\n"
    rows = [hashlib.sha256(b"%d" % n).hexdigest().encode() * 16 + b"\r\n" for n in range(64)]
    block = b"".join(rows)
    count = 20 * MEGABYTE // len(block)
    size = len(head) + count * len(block)
    digest = hashlib.sha256(head)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    stream.feed(b"a APPEND INBOX {%d+}\r\n" % size + head)
    for _ in range(count):
        digest.update(block)
        stream.feed(block)
        while stream._input:
            await asyncio.sleep(0)
    stream.feed(b"\r\nb SELECT INBOX\r\n")
    assert b" OK [APPENDUID" in await reply(stream, b"a")
    await reply(stream, b"b")
    stream.feed(b"c FETCH 1 BODY.PEEK[]\r\n")
    assert await stream.line() == b"* 1 FETCH (BODY[] {%d}" % size
    received = hashlib.sha256()
    left = size
    while left:
        sip = await take(stream, min(left, 100_000))
        received.update(sip)
        left -= len(sip)
    assert await stream.line() == b")"
    most = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert received.digest() == digest.digest()
    assert stream.most_unread < MEGABYTE
    assert most < 6 * MEGABYTE
    await reply(stream, b"c")
    stream.feed(b"d FETCH 1 BODY.PEEK[]<10000000.50>\r\n")
    assert await stream.line() == b"* 1 FETCH (BODY[]<10000000> {50}"
    wanted = (block * 2)[(10_000_000 - len(head)) % len(block) :][:50]
    assert await take(stream, 50) == wanted
    stream.lose()
    await session


async def test_many_messages_to_a_slow_client_stay_bounded(home: Home) -> None:
    body = b"Subject: middling\r\n\r\n" + b"x" * 30_000

    async def fill() -> None:
        incoming = home.store.incoming()
        await incoming.write(body)
        prepared = await incoming.finish()
        inbox = await home.store.read(find_mailbox, home.account, "INBOX")
        for _ in range(200):
            await home.store.write(add, home.account, inbox.id, prepared, now=NOW)

    await fill()
    stream, session = home.connect(write_ahead=64 * 1024)
    stream.feed(b"a SELECT INBOX\r\nb FETCH 1:* (BODY.PEEK[] BODY.PEEK[TEXT] BODY.PEEK[1])\r\n")
    await reply(stream, b"a")
    await asyncio.sleep(0.1)
    for _ in range(200):
        while not (await stream.line()).endswith(b")"):
            assert not stream.closed
    assert b"b OK" in await reply(stream, b"b")
    assert stream.most_unread < MEGABYTE
    stream.lose()
    await session


async def test_messages_that_are_read_as_the_client_takes_them_share_a_slice(home: Home) -> None:
    incoming = home.store.incoming()
    await incoming.write(b"Subject: long\r\n\r\n" + b"y" * MEGABYTE)
    inbox = await home.store.read(find_mailbox, home.account, "INBOX")
    prepared = await incoming.finish()
    for _ in range(3):
        await home.store.write(add, home.account, inbox.id, prepared, now=NOW)
    plan = Plan([Attribute("BODY[]", b"BODY[]", Section())])
    key, runs = (home.account, inbox.id), [Run(1, array("I", [1, 2, 3]))]
    found = await home.store.read(read_contents, key, runs, plan)
    assert (found.covered, [type(piece) for piece in found.pieces]) == (3, [bytes, Remote] * 3 + [bytes])


async def test_a_slow_client_that_takes_nothing_ties_up_no_memory(home: Home) -> None:
    incoming = home.store.incoming()
    await incoming.write(b"Subject: long\r\n\r\n" + b"y" * 5 * MEGABYTE)
    inbox = await home.store.read(find_mailbox, home.account, "INBOX")
    await home.store.write(add, home.account, inbox.id, await incoming.finish(), now=NOW)
    stream, session = home.connect(write_ahead=64 * 1024)
    stream.feed(b"a SELECT INBOX\r\nb FETCH 1 (BODY.PEEK[] BODY.PEEK[]<1.5000000>)\r\n")
    await asyncio.sleep(0.3)
    assert stream.most_unread < MEGABYTE
    stream.lose()
    await session


async def test_silence_ends_with_bye(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        account = await store.write(new_account, "alice@example.org")
        limits = replace(Limits(), imap_login_timeout=0.05, imap_idle_timeout=0.3)
        home = Home(store, account, limits)
        for logged_in in (False, True):
            stream, session = home.connect(logged_in=logged_in)
            await stream.line()
            assert (await stream.line()).startswith(b"* BYE ")
            assert await stream.line() == b""
            await session


async def test_shutdown_says_bye(home: Home) -> None:
    stream, session = home.connect()
    await stream.line()
    stream.feed(b"a IDLE\r\n")
    await stream.line()
    session.cancel()
    with suppress(asyncio.CancelledError):
        await session
    assert (await stream.line()).startswith(b"* BYE ")


async def test_a_lost_client_ends_the_session_and_its_subscription(home: Home) -> None:
    stream, session = home.connect()
    await stream.line()
    stream.lose()
    await asyncio.wait_for(session, 60)
    assert home.store.notify._subscribers == {}  # type: ignore[attr-defined]


async def test_a_full_disk_is_a_matter_of_time(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    stream, session = home.connect()
    await stream.line()

    async def refuse(*args: object, **kwargs: object) -> None:
        raise StoreFull("the disk is full; free some space")

    with monkeypatch.context() as patch:
        patch.setattr(home.store.db, "write", refuse)
        patch.setattr(home.store.db, "write_briefly", refuse)
        stream.feed(b"a CREATE x\r\n")
        assert (await stream.line()).startswith(b"a NO [UNAVAILABLE] The disk is full")
        stream.feed(b"b APPEND INBOX {8+}\r\na: b\r\n\r\n\r\n")
        assert (await stream.line()).startswith(b"b NO [UNAVAILABLE]")
        stream.feed(b"c STATUS INBOX (MESSAGES)\r\n")
        assert await stream.line() == b"* STATUS INBOX (MESSAGES 0)"
        await reply(stream, b"c")
    stream.feed(b"d CREATE x\r\n")
    assert b"OK" in await stream.line()
    stream.lose()
    await session


async def test_what_was_done_is_told_though_the_news_cannot_be_read(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, session = home.connect()
    await stream.line()
    stream.feed(b"a SELECT INBOX\r\n")
    await reply(stream, b"a")
    read = home.store.db.read_briefly

    async def read_all_but_news(work: object, *args: object) -> object:
        if work is read_heard:
            raise StoreBusy("somebody else writes")
        return await read(work, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(home.store.db, "read_briefly", read_all_but_news)
        stream.feed(b"b APPEND INBOX {8+}\r\na: b\r\n\r\n\r\n")
        assert (await stream.line()).startswith(b"b OK [APPENDUID ")
    stream.feed(b"c NOOP\r\n")
    assert await stream.line() == b"* 1 EXISTS"
    await reply(stream, b"c")
    stream.lose()
    await session


@pytest.mark.parametrize("pressed", [False, True])
async def test_a_page_is_read_elsewhere_when_many_clients_ask_at_once(
    pressed: bool, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = await home.store.read(find_mailbox, home.account, "INBOX")
    for number in range(12):
        incoming = home.store.incoming()
        await incoming.write(sample(number))
        await home.store.write(add, home.account, inbox.id, await incoming.finish(), now=NOW)
    monkeypatch.setattr(type(home.store.db), "pressed", pressed)
    read, apart = home.store.db.read_apart, []

    async def note(work: object, *args: object) -> object:
        apart.append(work)
        return await read(work, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(home.store.db, "read_apart", note)
    stream, session = home.connect()
    await stream.line()
    stream.feed(b"a SELECT INBOX\r\n")
    await reply(stream, b"a")
    stream.feed(b"b FETCH 1:12 (UID ENVELOPE)\r\nc FETCH 1:12 (UID FLAGS)\r\nd FETCH 1:3 (UID ENVELOPE)\r\n")
    for number in range(1, 13):
        assert (await stream.line()).startswith(b"* %d FETCH (UID %d ENVELOPE (" % (number, number))
    assert await reply(stream, b"b") == b"b OK FETCH completed"
    await reply(stream, b"d")
    assert apart == [read_slice] * pressed
    stream.lose()
    await session


async def test_what_is_expunged_while_the_client_is_about_to_be_told_is_told_too(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = await home.store.read(find_mailbox, home.account, "INBOX")
    for number in (1, 2, 3, 4, 5):
        incoming = home.store.incoming()
        await incoming.write(sample(number))
        await home.store.write(add, home.account, inbox.id, await incoming.finish(), now=NOW)
    stream, session = home.connect()
    await stream.line()
    stream.feed(b"a SELECT INBOX\r\n")
    await reply(stream, b"a")
    await home.store.write(expunge, home.account, inbox.id, [4])
    read = home.store.db.read

    async def expunge_first(work: object, *args: object) -> object:
        if work is read_news_and_uids:
            await home.store.write(expunge, home.account, inbox.id, [1])
        return await read(work, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(home.store.db, "read", expunge_first)
        stream.feed(b"b NOOP\r\n")
        assert await stream.line() == b"* 4 EXPUNGE"
        assert await stream.line() == b"* 1 EXPUNGE"
        await reply(stream, b"b")
    stream.feed(b"c FETCH 1:3 UID\r\n")
    assert [await stream.line() for _ in range(3)] == [
        b"* 1 FETCH (UID 2)",
        b"* 2 FETCH (UID 3)",
        b"* 3 FETCH (UID 5)",
    ]
    await reply(stream, b"c")
    stream.lose()
    await session


async def test_many_sessions_on_one_mailbox(home: Home) -> None:
    inbox = await home.store.read(find_mailbox, home.account, "INBOX")
    clients = [home.connect() for _ in range(100)]
    for stream, _ in clients:
        await stream.line()
        stream.feed(b"a SELECT INBOX\r\nb IDLE\r\n")
        await reply(stream, b"a")
        assert await stream.line() == b"+ idling"
    incoming = home.store.incoming()
    await incoming.write(sample(1))
    await home.store.write(add, home.account, inbox.id, await incoming.finish(), now=NOW)
    told = [[await stream.line(), await stream.line()] for stream, _ in clients]
    assert all(lines[0] == b"* 1 EXISTS" for lines in told)
    assert sorted(lines[1] for lines in told) == [b"* 0 RECENT"] * 99 + [b"* 1 RECENT"]
    for stream, session in clients:
        stream.lose()
        await session


async def test_opening_the_newest_page_does_not_load_the_mailbox(home: Home) -> None:
    incoming = home.store.incoming()
    await incoming.write(sample(1))
    prepared = await incoming.finish()
    inbox = await home.store.read(find_mailbox, home.account, "INBOX")

    def fill(tx: Transaction) -> None:
        for _ in range(3000):
            add(tx, home.account, inbox.id, prepared, now=NOW - 86400)

    await home.store.write(fill)
    stream = MemoryStream(tls=TLS)
    session = Session(stream, home.service)
    session.log_in(Account(home.account, "alice@example.org"))
    running = asyncio.ensure_future(session.run())
    stream.feed(b"a SELECT INBOX\r\n")
    await reply(stream, b"a")
    assert session.selected is not None
    view = session.selected.view
    for command in (
        b"UID FETCH 2951:* (FLAGS)",
        b"FETCH 2951:3000 (UID FLAGS)",
        b"UID SEARCH UID 2990:*",
        b"NOOP",
    ):
        stream.feed(b"b %b\r\n" % command)
        await reply(stream, b"b")
        assert view.missing_number(2500)
    stream.feed(b"c FETCH 2000 UID\r\n")
    assert await stream.line() == b"* 2000 FETCH (UID 2000)"
    stream.feed(b"d FETCH 1 UID\r\n")
    assert await stream.line() == b"c OK FETCH completed"
    assert await stream.line() == b"* 1 FETCH (UID 1)"
    assert not view.missing_number(1)
    stream.lose()
    await running


async def test_small_responses_go_out_with_the_tagged_line(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, session = home.connect()
    await stream.line()
    small, large = b"Subject: small\r\n\r\n.", b"Subject: large\r\n\r\n" + b"x" * 100_000
    for content in (small, small, large):
        stream.feed(b"a APPEND INBOX {%d+}\r\n%b\r\n" % (len(content), content))
        await reply(stream, b"a")
    stream.feed(b"b SELECT INBOX\r\n")
    await reply(stream, b"b")
    written: list[bytes] = []
    write = stream.write

    def note(data: bytes) -> None:
        written.append(bytes(data))
        write(data)

    async def fetch(numbers: bytes) -> None:
        written.clear()
        stream.feed(b"c FETCH %b BODY.PEEK[]\r\n" % numbers)
        async with asyncio.timeout(60):
            while not (written and written[-1].endswith(b"c OK FETCH completed\r\n")):
                await asyncio.sleep(0)

    monkeypatch.setattr(stream, "write", note)
    await fetch(b"1:2")
    (together,) = written
    assert together.count(small) == 2
    await fetch(b"1:3")
    assert written[-1] == b"c OK FETCH completed\r\n"  # the large one did not wait for it
    assert large in b"".join(written[:-1])
    stream.lose()
    await session
