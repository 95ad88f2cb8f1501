"""COMPRESS=DEFLATE (RFC 4978), spoken by a client with zlib of its own."""

from __future__ import annotations

import asyncio
import re
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support import simulation
from support.accounts import new_account
from support.stores import open_store
from support.streams import MemoryStream

from imap.house import NOW, Directory
from mailwright.base.clock import ManualClock
from mailwright.imap.deflated import PIECE, DeflatedStream
from mailwright.imap.service import Service
from mailwright.imap.session import Session
from mailwright.sasl.api import Account

MEGABYTE = 1024 * 1024


class Client:
    """Speaks plain until `compress`."""

    def __init__(self, service: Service, account: int) -> None:
        self.stream = MemoryStream(write_ahead=256 * 1024)
        session = Session(self.stream, service)
        session.log_in(Account(account, "alice@example.org"))
        self.task = asyncio.ensure_future(session.run())
        self.out = zlib.compressobj(9, zlib.DEFLATED, -15)
        self.back = zlib.decompressobj(-15)
        self.text = b""

    def say(self, data: bytes, bytewise: bool = False) -> None:
        packed = self.out.compress(data) + self.out.flush(zlib.Z_SYNC_FLUSH)
        for piece in (packed[i : i + 1] for i in range(len(packed))) if bytewise else (packed,):
            self.stream.feed(piece)

    async def compress(self) -> None:
        await self.stream.line()
        self.stream.feed(b"a COMPRESS DEFLATE\r\n")
        assert (await self.stream.line()).startswith(b"a OK ")

    async def until(self, end: bytes) -> bytes:
        """All that the server says up to the line that begins so."""
        async with asyncio.timeout(60):
            while b"\r\n" not in self.text.partition(end)[2]:
                self.text += self.back.decompress(self.stream.take())
                await asyncio.sleep(0)
        stop = self.text.index(b"\r\n", self.text.index(end)) + 2
        said, self.text = self.text[:stop], self.text[stop:]
        return said


@pytest_asyncio.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with open_store(tmp_path) as store:
        account = await store.write(new_account, "alice@example.org")
        service = Service(
            store,
            Directory({"alice": account}),
            ManualClock(NOW),
            hostname="mail.example.org",
            server_secret=b"s" * 32,
        )
        client = Client(service, account)
        yield client
        client.stream.lose()
        await client.task


@pytest.mark.parametrize("bytewise", [False, True])
async def test_both_directions_are_compressed(client: Client, bytewise: bool) -> None:
    await client.compress()
    client.say(b"b CAPABILITY\r\nc NOOP\r\n", bytewise)
    said = await client.until(b"c OK")
    assert said.startswith(b"* CAPABILITY IMAP4rev1 ")
    client.say(b"d COMPRESS DEFLATE\r\n", bytewise)
    assert (await client.until(b"d ")).startswith(b"d NO [COMPRESSIONACTIVE]")


async def test_a_message_goes_and_comes(client: Client) -> None:
    await client.compress()
    body = b"Subject: long\r\n\r\n" + b"the same words again and again\r\n" * 30_000
    client.say(b"b APPEND INBOX {%d}\r\n" % len(body))
    assert await client.until(b"+ ") == b"+ OK\r\n"
    client.say(body + b"\r\n")
    assert (await client.until(b"b ")).startswith(b"b OK [APPENDUID ")
    client.say(b"c SELECT INBOX\r\nd FETCH 1 BODY.PEEK[]\r\n")
    assert b"{%d}\r\n%b)\r\n" % (len(body), body) in await client.until(b"d OK")
    assert client.stream.most_unread < len(body) // 20


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize("end", [zlib.Z_SYNC_FLUSH, zlib.Z_FINISH])
async def test_compression_ends_with_the_login(client: Client, end: int, bytewise: bool) -> None:
    """RFC 8437 4.1; what is pipelined behind UNAUTHENTICATE (3) comes uncompressed."""
    await client.compress()
    client.say(b"b NOOP\r\n", bytewise)
    await client.until(b"b OK")
    octets = client.out.compress(b"c NOOP\r\nd UNAUTHENTICATE\r\n") + client.out.flush(end)
    octets += b"e LOGIN alice secret\r\nf COMPRESS DEFLATE\r\n"
    for piece in (octets[i : i + 1] for i in range(len(octets))) if bytewise else (octets,):
        client.stream.feed(piece)
    said, plain = b"", b""
    async with asyncio.timeout(60):
        while plain.count(b"\r\n") < 2:
            told = client.stream.take()
            if client.back.eof:
                plain += told
            else:
                said += client.back.decompress(told)
                plain += client.back.unused_data
            await asyncio.sleep(0)
    assert said.startswith(b"c OK ")
    assert b"\r\nd OK [CAPABILITY " in said
    assert re.fullmatch(rb"e NO \[PRIVACYREQUIRED\] .*\r\nf BAD .*\r\n", plain)  # all is as it was at first


async def test_idle_is_told_at_once(client: Client) -> None:
    await client.compress()
    client.say(b"b SELECT INBOX\r\nc IDLE\r\n")
    await client.until(b"+ idling")
    client.say(b"DONE\r\nd APPEND INBOX {4+}\r\na: b\r\n")
    assert b"* 1 EXISTS\r\n" in await client.until(b"d OK")


async def test_what_came_before_the_reply_is_dropped(client: Client) -> None:
    await client.stream.line()
    client.stream.feed(b"a COMPRESS DEFLATE\r\nb LOGOUT\r\n")
    assert (await client.stream.line()).startswith(b"a OK ")
    client.say(b"c NOOP\r\n")
    assert await client.until(b"c ") == b"c OK NOOP completed\r\n"


async def test_damaged_octets_end_the_connection(client: Client) -> None:
    await client.compress()
    client.stream.feed(b"\xff\xff\xff\xff plain text\r\n")
    await asyncio.wait_for(client.task, 60)
    assert client.stream.closed


async def test_the_end_of_the_compressed_stream_is_the_end_of_input(client: Client) -> None:
    await client.compress()
    client.stream.feed(client.out.compress(b"b NOOP\r\n") + client.out.flush(zlib.Z_FINISH) + b"rubbish")
    await asyncio.wait_for(client.task, 60)
    assert client.stream.closed
    assert await client.until(b"b ") == b"b OK NOOP completed\r\n"


async def test_a_bomb_is_read_in_small_pieces() -> None:
    under = MemoryStream()
    stream = DeflatedStream(under)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(packer.compress(bytes(MEGABYTE)) for _ in range(50)) + packer.flush(zlib.Z_SYNC_FLUSH)
    under.feed(bomb)
    tracemalloc.start()
    total = 0
    while total < 50 * MEGABYTE:
        piece = await stream.read(1)
        assert piece is not None
        assert 0 < len(piece) <= PIECE
        total += len(piece)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 50 * MEGABYTE
    assert most < MEGABYTE
    with pytest.raises(TimeoutError):
        await stream.read(0.01)


async def test_a_line_that_never_ends_is_bounded(client: Client) -> None:
    await client.compress()
    packed = client.out.compress(b"b " + b"x" * 20 * MEGABYTE + b"\r\nc NOOP\r\n")
    tracemalloc.start()
    client.stream.feed(packed + client.out.flush(zlib.Z_SYNC_FLUSH))
    said = await client.until(b"c OK")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert b" BAD [TOOBIG]" in said
    assert most < 2 * MEGABYTE


async def test_waking_is_passed_through() -> None:
    under = MemoryStream()
    stream = DeflatedStream(under)
    stream.wake()
    assert await stream.read(1) is None


async def test_a_client_that_rests_costs_no_compressor() -> None:
    under = MemoryStream()
    stream = DeflatedStream(under, rest_after=0.01)
    client = zlib.decompressobj(-15)
    for words in (b"the first words", b"the first words again", b"the first words once more"):
        stream.write(words)
        await stream.drain()
        with pytest.raises(TimeoutError):
            await stream.read(0.05)
        assert stream._compressor is None
        assert client.decompress(under.take()) == words


def test_waiting_takes_no_longer_for_the_rest() -> None:
    async def wait() -> float:
        stream = DeflatedStream(MemoryStream(), rest_after=50.0)
        stream.write(b"words")
        await stream.drain()
        with pytest.raises(TimeoutError):
            await stream.read(100.0)
        return asyncio.get_running_loop().time()

    assert simulation.run(wait) == pytest.approx(100.0)
