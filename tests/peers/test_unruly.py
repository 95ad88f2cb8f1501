"""Peers that are slow, broken or hostile, and ways that are not MX: what reaches them, what the sender hears."""

from __future__ import annotations

import asyncio
import base64
import resource
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from peers.house import (
    ALICE,
    PEER,
    House,
    World,
    is_intact,
    letter,
    open_house,
    patient,
    peer,
    smarthost,
    until,
)
from peers.test_safety import context
from support.peer import EXTENSIONS, Peer, Taken

from mailwright.cli.opening import write
from mailwright.queue import opening, operations
from mailwright.queue.operations import Selection
from mailwright.queue.runner import LOOK

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def talking(world: World, talk: Talk) -> AsyncIterator[list[int]]:
    """A server at the domains' MX that does `talk`; how many came."""
    came: list[int] = []

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(1)
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(meet, PEER, world.port)
    async with server:
        yield came


async def send(house: House, number: int, to: str = "bob@peer.test") -> None:
    await house.submit(letter(number, to), to)


async def test_greylisting(house: House, world: World) -> None:
    seen: list[str] = []

    def rcpt(line: str) -> bytes:
        seen.append(line)
        return (
            b"451 4.7.1 Greylisted, please try again in 1 second\r\n"
            if len(seen) == 1
            else b"250 2.1.5 ok\r\n"
        )

    async with peer(world, replies={"RCPT": rcpt}) as there:
        await send(house, 1)
        await house.result("1@us.test", "sent")
    assert len(there.taken) == 1
    story = await house.story("1@us.test")
    assert story.index("deferred at rcpt, 451 4.7.1 Greylisted") < story.index("bob@peer.test: sent")
    assert await house.inbox() == []


async def test_a_command_that_makes_mail_due_is_heard_of_at_once(world: World, tmp_path: Path) -> None:
    replies = [b"451 4.7.1 later\r\n", b"250 2.1.5 ok\r\n"]
    async with (
        open_house(world, tmp_path, patient(world, retries=(3600.0,))) as house,
        peer(world, replies={"RCPT": lambda line: replies.pop(0)}),
    ):
        await send(house, 20)
        await house.result("20@us.test", "deferred")
        await asyncio.to_thread(write, house.config, operations.retry, Selection(), time.time())
        await until(lambda: not replies, seconds=LOOK - 5)  # it looks by itself only then
        await house.result("20@us.test", "sent")


async def test_busy_on_connect(house: House, world: World) -> None:
    async with peer(world, greeting=b"421 4.3.2 too busy\r\n") as there:
        await send(house, 2)
        result = await house.result("2@us.test")
        assert (result["outcome"], result["phase"]) == ("deferred", "greeting")
        there.greeting = b"220 mx.peer.test ESMTP\r\n"
    assert await house.inbox() == []


async def test_lost_after_the_dot_goes_again_and_the_record_says_why(house: House, world: World) -> None:
    async with peer(world, lose_after_dot=True) as there:
        await send(house, 3)
        result = await house.result("3@us.test", "deferred")
        assert "may have been delivered" in result["text"]
        there.lose_after_dot = False
        await house.result("3@us.test", "sent")
    first, *_, last = there.taken
    assert first.content == last.content, "a receiver that knows Message-IDs can tell that it is the same"


async def test_a_tarpit_costs_nobody_else(house: House, world: World) -> None:
    over = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not over.is_set():
            writer.write(b"2")
            await writer.drain()
            await asyncio.sleep(0.05)
        writer.close()

    server = await asyncio.start_server(drip, "127.0.0.3", world.port)
    async with server, peer(world) as there:
        await asyncio.gather(*(send(house, 100 + n, f"u{n}@postfix.test") for n in range(30)))
        await send(house, 4)
        await until(lambda: there.taken)
        for n in range(30):
            record = await house.record(f"{100 + n}@us.test")
            assert (record["waiting"], record["events"][-1]["kind"]) == (1, "accepted"), "not through"
        over.set()


async def test_a_tarpit_is_left_when_its_time_is_over(
    house: House, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "GREETING_TIMEOUT", 0.5)

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"220-wait\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with talking(world, drip):
        await send(house, 5)
        result = await house.result("5@us.test")
    assert (result["outcome"], result["phase"], result["status"]) == ("deferred", "greeting", "4.4.2")


@pytest.mark.parametrize("piece", [b"x" * 65536, b"220-" + b"y" * 1020 + b"\r\n"])
async def test_a_hundred_megabytes_of_banner(house: House, world: World, piece: bytes) -> None:
    written = 0

    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        while written < 100_000_000:
            writer.write(piece)
            written += len(piece)
            await writer.drain()

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with talking(world, shout):
        await send(house, 6)
        result = await house.result("6@us.test")
    assert (result["outcome"], result["phase"]) == ("deferred", "greeting")
    assert written < 20_000_000, "the connection is closed long before the end"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
    assert len(await house.story("6@us.test")) < 20_000


async def test_a_peer_that_closes_in_the_middle(house: House, world: World) -> None:
    cuts = iter([b"", b"EHLO", b"MAIL", b"RCPT", b"DATA", b"."])
    dialog = {b"EHLO": b"250-mx\r\n250 PIPELINING\r\n", b"DATA": b"354 go\r\n"}

    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        cut = next(cuts, None)
        writer.write(b"220 mx\r\n"[: 3 if cut == b"" else None])
        content = False
        while cut != b"" and (line := await reader.readline()):
            word = b"." if content and line == b".\r\n" else b"" if content else line[:4].strip()
            if word == cut:
                return
            if not word:
                continue
            writer.write(dialog.get(word, b"250 ok\r\n"))
            content = word == b"DATA"

    async with talking(world, leave) as came:
        await send(house, 7)
        await house.result("7@us.test", "relayed")
    assert len(came) >= 7
    events = (await house.record("7@us.test"))["events"]
    results = [result for event in events for result in event.get("results", ())]
    assert [result["outcome"] for result in results].count("relayed") == 1
    assert await house.inbox() == []


HOSTILE = {
    "endless": b"".join(b"250-%d\r\n" % n for n in range(100_000)),
    "two codes": b"250-yes\r\n550 no\r\n",
    "zeros": b"250 a\0b\r\n\0\0\r\n",
    "no code": b"hello there\r\n",
    "a far code": b"999 what\r\n",
    "no line ends": b"250 " + b"z" * 300_000,
    "controls and a script": b"550 5.1.1 \x1b[2J\x07<script>alert(1)</script>\r\n",
    "eight bits": "550 5.1.1 无此用户 ".encode() + b"\xff\xfe\r\n",
    "header injection": b"550-5.1.1 no\rSubject: injected\r\n550 5.1.1 \nBcc: x@y\r\n",
}
REFUSALS = ("two codes", "controls and a script", "eight bits")


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("verb", ["EHLO", "RCPT"])
async def test_hostile_replies(house: House, world: World, what: str, verb: str) -> None:
    async with peer(world, replies={verb: HOSTILE[what]}) as there:
        await send(house, 8)
        result = await house.result("8@us.test")
        is_understood = verb == "EHLO" and what in REFUSALS  # then HELO is tried
        assert result["outcome"] in (("relayed",) if is_understood else ("deferred", "failed"))
        if result["outcome"] == "failed":
            report = await house.report()
            text = report.as_string()
            assert "\x1b" not in text
            assert "\x07" not in text
            assert report["Bcc"] is None
            assert report["Subject"] != "injected"
        assert is_understood or not any(taken.content for taken in there.taken)
    story = await house.story("8@us.test")
    assert "\x1b" not in story
    assert "\x07" not in story
    assert len(story) < 50_000
    # The server is none the worse for it.
    async with peer(world) as there:
        await send(house, 9, "bob@implicit.test")
        await until(lambda: there.taken)


EIGHT = (
    f"From: Alice <{ALICE}>\r\nTo: bob@peer.test\r\nSubject: 8\r\nMessage-ID: <20@us.test>\r\n"
    "Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    "Content-Transfer-Encoding: 8bit\r\n\r\nGrüße und 你好\r\n"
).encode()


async def test_a_peer_of_1982(house: House, world: World) -> None:
    """No EHLO, no extension: eight bits are put into seven, and a second address waits its turn."""
    async with peer(world, extensions=(), replies={"EHLO": b"500 what\r\n"}) as there:
        await house.submit(EIGHT, "bob@peer.test", "carol@peer.test", options=("BODY=8BITMIME",))
        await house.result("20@us.test", "relayed")
    (taken,) = there.taken
    assert taken.content.isascii()
    assert b"Gr=C3=BC=C3=9Fe" in taken.content or b"base64" in taken.content
    assert taken.mail == f"MAIL FROM:<{ALICE}>"
    assert len(taken.recipients) == 2
    assert taken.content.count(b"DKIM-Signature:") >= 2


async def test_an_address_that_the_peer_cannot_take(house: House, world: World) -> None:
    content = EIGHT.replace(b"To: bob@peer.test", "To: 鲍勃@peer.test".encode())
    async with peer(world, extensions=("PIPELINING", "8BITMIME")) as there:
        await house.submit(content, "鲍勃@peer.test", options=("SMTPUTF8", "BODY=8BITMIME"))
        report = await house.report()
    assert "5.6.7" in report.as_string()
    assert there.taken == []
    content = content.replace(b"<20@", b"<21@").replace(b"peer.test", b"exim.test")
    async with peer(world, "127.0.0.4") as there:
        await house.submit(content, "鲍勃@exim.test", options=("SMTPUTF8", "BODY=8BITMIME"))
        await house.result("21@us.test", "sent")
    assert "SMTPUTF8" in there.taken[0].mail
    assert is_intact(there.taken[0].content, content)


# Ways that are not MX


async def test_a_smarthost_with_a_password_over_tls(world: World, tmp_path: Path, trusting: None) -> None:
    said: list[str] = []

    def auth(line: str) -> bytes:
        said.append(line)
        return b"235 2.7.0 welcome\r\n"

    offers = (*EXTENSIONS, "AUTH PLAIN LOGIN")
    shown, _ = world.authority.context("localhost", "smart.test")
    async with Peer(extensions=offers, replies={"AUTH": auth}, context=shown) as there:
        queue = smarthost(world, there.port, tls="encrypt", username="us", password="s3cret")
        async with open_house(world, tmp_path, queue) as house:
            await house.submit(letter(30, "all"), "a@one.example", "b@two.example")
            await house.result("30@us.test", "sent")
            story = await house.story("30@us.test")
    (taken,) = there.taken
    assert taken.tls
    assert len(taken.recipients) == 2, "one transaction for all domains"
    assert said == ["AUTH PLAIN " + base64.b64encode(b"\0us\0s3cret").decode()]
    assert "s3cret" not in story
    assert base64.b64encode(b"\0us\0s3cret").decode() not in story
    assert there.lines.index("EHLO mx.us.test") < there.lines.index("STARTTLS") < there.lines.index(said[0])


async def test_a_smarthost_that_does_not_know_us_makes_mail_wait(
    world: World, tmp_path: Path, trusting: None
) -> None:
    async with Peer(
        extensions=(*EXTENSIONS, "AUTH PLAIN"), replies={"AUTH": b"535 5.7.8 wrong\r\n"}
    ) as there:
        queue = smarthost(world, there.port, username="us", password="wrong")
        async with open_house(world, tmp_path, queue) as house:
            await house.submit(letter(31, "a@one.example"), "a@one.example")
            result = await house.result("31@us.test")
            assert (result["outcome"], result["phase"]) == ("deferred", "auth")
            assert await house.inbox() == []


async def test_lmtp(world: World, tmp_path: Path, trusting: None) -> None:
    def final(taken: Taken) -> bytes:
        return next(answers)

    answers = iter([b"250 2.1.5 kept\r\n", b"552 5.2.2 mailbox full\r\n"])
    async with Peer(lmtp=True, final=final) as there:
        queue = smarthost(world, there.port, protocol="lmtp")
        async with open_house(world, tmp_path, queue) as house:
            await house.submit(letter(32, "all"), "a@one.example", "b@one.example")
            await house.result("32@us.test", "delivered")
            report = await house.report()
    assert there.lines[0] == "LHLO mx.us.test"
    assert "b@one.example" in report.as_string()
    assert "a@one.example" not in report.get_body().get_content()  # type: ignore[union-attr]
    assert "mailbox full" in report.as_string()


async def test_through_a_socks_proxy(world: World, tmp_path: Path, trusting: None) -> None:
    asked: list[tuple[str, int]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """RFC 1928 and 1929: a user's name, CONNECT to an IPv4 address."""
        (count,) = struct.unpack("xB", await reader.readexactly(2))
        assert 2 in await reader.readexactly(count)
        writer.write(b"\5\2")
        (length,) = struct.unpack("xB", await reader.readexactly(2))
        name = await reader.readexactly(length)
        word = await reader.readexactly((await reader.readexactly(1))[0])
        assert (name, word) == (b"us", b"pw")
        writer.write(b"\1\0")
        assert await reader.readexactly(4) == b"\5\1\0\1"
        host = ".".join(str(octet) for octet in await reader.readexactly(4))
        (port,) = struct.unpack("!H", await reader.readexactly(2))
        asked.append((host, port))
        there_reader, there_writer = await asyncio.open_connection(host, port)
        writer.write(b"\5\0\0\1\0\0\0\0\0\0")
        await asyncio.gather(pipe(reader, there_writer), pipe(there_reader, writer))

    proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    queue = patient(world, proxy=f"socks5://us:pw@127.0.0.1:{port}")
    async with (
        proxy,
        peer(world, context=context(world)) as there,
        open_house(world, tmp_path, queue) as house,
    ):
        await send(house, 33)
        await house.result("33@us.test", "sent")
    assert asked == [(PEER, world.port)]
    assert [taken.tls for taken in there.taken] == [True]


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()
