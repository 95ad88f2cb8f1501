"""Large parts: joined, replaced, decoded and fetched by URL, never in memory as a whole."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest_asyncio
from support.accounts import new_account
from support.stores import open_store
from support.streams import MemoryStream

from imap.test_streaming import Home, reply, take
from mailwright.store.arrivals import add
from mailwright.store.mailboxes import find_mailbox

MEGABYTE = 1024 * 1024
CONTENT = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(2048))  # 64 KiB
HEAD = (
    b"Subject: large\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nwords\r\n--b\r\n"
    b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
)
BLOCK = base64.encodebytes(CONTENT[:65493]).replace(b"\n", b"\r\n")  # whole lines of 57 octets
DECODED = CONTENT[:65493]
COUNT = 8 * MEGABYTE // len(DECODED)
TAIL = b"--b--\r\n"
SIZE = len(HEAD) + COUNT * len(BLOCK) + len(TAIL)


@contextmanager
def at_most(octets: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < octets


@pytest_asyncio.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    """Alice has one message with a large part in INBOX."""
    async with open_store(tmp_path) as store:
        home = Home(store, await store.write(new_account, "alice@example.org"))
        incoming = store.incoming()
        await incoming.write(HEAD)
        for _ in range(COUNT):
            await incoming.write(BLOCK)
        await incoming.write(TAIL)
        inbox = await store.read(find_mailbox, home.account, "INBOX")
        await store.write(add, home.account, inbox.id, await incoming.finish(), now=1_767_600_000)
        incoming.close()
        yield home


async def select(home: Home) -> MemoryStream:
    stream, _ = home.connect(write_ahead=256 * 1024)
    stream.feed(b"s SELECT INBOX\r\n")
    await reply(stream, b"s")
    return stream


async def announced(stream: MemoryStream, before: bytes) -> int:
    line = await stream.line()
    assert line.startswith(before), line
    assert line.endswith(b"}")
    return int(line[:-1].rpartition(b"{")[2])


async def expect_decoded(stream: MemoryStream, size: int) -> None:
    received, left = hashlib.sha256(), size
    while left:
        sip = await take(stream, min(left, 100_000))
        received.update(sip)
        left -= len(sip)
    wanted = hashlib.sha256()
    for _ in range(COUNT):
        wanted.update(DECODED)
    assert received.digest() == wanted.digest()


async def test_binary_decodes_a_large_part_as_it_is_sent(home: Home) -> None:
    stream = await select(home)
    with at_most(5 * MEGABYTE):
        stream.feed(b"a FETCH 1 BINARY.SIZE[2]\r\n")
        assert await stream.line() == b"* 1 FETCH (BINARY.SIZE[2] %d)" % (COUNT * len(DECODED))
        await reply(stream, b"a")
        stream.feed(b"b FETCH 1 BINARY.PEEK[2]\r\n")
        size = await announced(stream, b"* 1 FETCH (BINARY[2] ~{")
        await expect_decoded(stream, size)
        assert await stream.line() == b")"
        await reply(stream, b"b")
        start = 5 * len(DECODED) + 1000
        stream.feed(b"c FETCH 1 (BINARY.PEEK[2]<%d.300000> UID)\r\n" % start)
        assert await announced(stream, b"* 1 FETCH (UID 1 BINARY[2]<%d> ~{" % start) == 300_000
        assert await take(stream, 300_000) == (DECODED * 6)[1000:301_000]
        assert await stream.line() == b")"
        await reply(stream, b"c")
    assert stream.most_unread < MEGABYTE
    stream.lose()


async def test_catenate_copies_a_large_part(home: Home) -> None:
    stream = await select(home)
    head = b"Subject: copy\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    with at_most(5 * MEGABYTE):
        stream.feed(
            b'a APPEND INBOX CATENATE (TEXT {%d+}\r\n%b URL ";UID=1/;SECTION=2")\r\n' % (len(head), head)
        )
        assert b"a OK [APPENDUID " in await reply(stream, b"a")
        stream.feed(b"b FETCH 2 BINARY.PEEK[1]\r\n")
        size = await announced(stream, b"* 2 FETCH (BINARY[1] ~{")
        await expect_decoded(stream, size)
        assert await stream.line() == b")"
        await reply(stream, b"b")
    stream.lose()


async def test_replace_takes_a_large_literal(home: Home) -> None:
    stream = await select(home)
    with at_most(5 * MEGABYTE):
        stream.feed(b"a REPLACE 1 INBOX {%d+}\r\n" % SIZE + HEAD)
        for _ in range(COUNT):
            stream.feed(BLOCK)
            while stream._input:
                await asyncio.sleep(0)
        stream.feed(TAIL + b"\r\n")
        assert b"a OK" in await reply(stream, b"a")
        stream.feed(b"b FETCH 1 (UID RFC822.SIZE)\r\n")
        assert await stream.line() == b"* 1 FETCH (UID 2 RFC822.SIZE %d)" % SIZE
        await reply(stream, b"b")
    stream.lose()


async def test_urlfetch_sends_a_large_part(home: Home) -> None:
    stream = await select(home)
    url = b"imap://alice%40example.org@mail.example.org/INBOX/;UID=1/;SECTION=2;URLAUTH=authuser"
    stream.feed(b'a GENURLAUTH "%b" INTERNAL\r\n' % url)
    signed = (await stream.line()).split(b'"')[1]
    await reply(stream, b"a")
    with at_most(5 * MEGABYTE):
        stream.feed(b'b URLFETCH "%b" ("%b" BINARY)\r\n' % (signed, signed))
        size = await announced(stream, b'* URLFETCH "%b" {' % signed)
        assert size == COUNT * len(BLOCK) - 2
        left = size
        while left:
            left -= len(await take(stream, min(left, 100_000)))
        assert await stream.line() == b""
        size = await announced(stream, b'* URLFETCH "%b" (BINARY ~{' % signed)
        await expect_decoded(stream, size)
        assert await stream.line() == b")"
        await reply(stream, b"b")
    stream.lose()


async def test_a_slow_client_of_a_decoded_part_ties_up_no_memory(home: Home) -> None:
    stream = await select(home)
    stream.feed(b"a FETCH 1 (BINARY.PEEK[2] BINARY.PEEK[2]<1.6000000>)\r\n")
    await announced(stream, b"* 1 FETCH (BINARY[2] ~{")
    await asyncio.sleep(0.2)
    assert stream.most_unread < MEGABYTE
    stream.lose()
