"""Postfix, Exim and OpenSMTPD: they send to us, and our queue delivers to them."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from peers.house import ALICE, House, World, letter, open_house, until
from support.mailservers import Exim, MailServer, OpenSMTPD, Postfix, Setting, serving

from mailwright.config import TLS

KINDS = [Postfix, Exim, OpenSMTPD]
HOSTS = {Postfix: "127.0.0.3", Exim: "127.0.0.4", OpenSMTPD: "127.0.0.5"}
BODY = "Zeile eins \r\n.punkt\r\n..\r\n" + "y" * 900 + "\r\n\r\nEnde\r\n"


def setting(kind: type[MailServer], world: World, **more: Any) -> Setting:
    more.setdefault("certificate", world.good)
    return Setting(HOSTS[kind], world.port, domain_of(kind), us=world.port, **more)


def domain_of(kind: type[MailServer]) -> str:
    return f"{kind.__name__.lower()}.test"


async def hand_in(server: MailServer, content: bytes, to: str = ALICE) -> None:
    """Give the server a message for somebody."""

    def send() -> None:
        at = server.setting
        with smtplib.SMTP(at.host, at.port, local_hostname="client.test", timeout=60) as client:
            client.sendmail(f"carol@{at.domain}", [to], content)

    await asyncio.to_thread(send)


@asynccontextmanager
async def running(kind: type[MailServer], world: World, **more: Any) -> AsyncIterator[MailServer]:
    server = serving(kind, setting(kind, world, **more))
    there = await asyncio.to_thread(server.__enter__)
    try:
        yield there
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)


@pytest.mark.parametrize("kind", KINDS)
async def test_both_ways(house: House, world: World, kind: type[MailServer]) -> None:
    name = kind.__name__
    to = f"bob@{domain_of(kind)}"
    async with running(kind, world) as server:
        sent = letter(1, to, BODY)
        await house.submit(sent, to)
        await house.result("1@us.test", "sent")
        (got,) = await until(server.received)
        assert got.rstrip(b"\r\n").endswith(sent.rstrip(b"\r\n")), name
        (attempt,) = (e for e in (await house.record("1@us.test"))["events"] if e["kind"] == "attempt")
        # OpenSMTPD of Debian 12 fails in every handshake as a server (OpenSSL 3): then it goes without.
        assert kind is OpenSMTPD or attempt["tls"].startswith("TLSv1.3")

        back = letter(2, ALICE, BODY)
        await hand_in(server, back)
        try:
            (mine,) = await until(house.inbox)
        except AssertionError:
            pytest.fail(server.log()[-3000:])
        log = server.log()
    assert back.partition(b"\r\n\r\n")[2] == mine.partition(b"\r\n\r\n")[2]
    assert b"with ESMTPS" in mine, mine[:400] + log[:1500].encode()
    assert f"Return-Path: <carol@{domain_of(kind)}>".encode() in mine


@pytest.mark.parametrize("kind", [Postfix, Exim])
async def test_who_asks_for_our_certificate_gets_a_good_one(
    house: House, world: World, kind: type[MailServer]
) -> None:
    async with running(kind, world, authorities=world.authority.file) as server:
        await hand_in(server, letter(3, ALICE))
        try:
            await until(house.inbox)
        except AssertionError:
            pytest.fail(server.log()[-3000:])


@pytest.mark.parametrize("kind", [Postfix, Exim])
async def test_who_asks_for_a_good_certificate_does_not_take_a_bad_one(
    world: World, tmp_path: Path, kind: type[MailServer]
) -> None:
    bad = world.ours.with_name("elsewhere.test--5.pem")
    async with (
        open_house(world, tmp_path, tls=TLS(bad, bad)) as house,
        running(kind, world, authorities=world.authority.file) as server,
    ):
        await hand_in(server, letter(4, ALICE))
        await until(lambda: "certificate" in server.log().lower())
        await asyncio.sleep(0.5)
        assert await house.inbox() == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stranger_is_refused_and_their_server_tells_its_user(
    house: House, world: World, kind: type[MailServer]
) -> None:
    async with running(kind, world) as server:
        await hand_in(server, letter(5, "nobody@us.test"), "nobody@us.test")
        (bounce,) = await until(server.received)
    assert b"550" in bounce
    assert b"nobody@us.test" in bounce
    assert await house.inbox() == []


@pytest.mark.parametrize("kind", KINDS)
async def test_what_they_refuse_comes_back_to_alice(
    house: House, world: World, kind: type[MailServer]
) -> None:
    good, bad = f"bob@{domain_of(kind)}", f"nobody@{domain_of(kind)}"
    async with running(kind, world) as server:
        await house.submit(letter(6, good), good, bad)
        report = await house.report()
        await until(server.received)
    assert "Action: failed" in report.as_string()
    assert bad in report.as_string()
    assert good not in report.get_body().get_content()  # type: ignore[union-attr]


async def test_greylisting_by_postfix(house: House, world: World) -> None:
    """Its policy service says "later" to a triplet that it sees for the first time."""
    seen: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.readuntil(b"\n\n"):
            fields = dict(line.split("=", 1) for line in request.decode().split("\n") if "=" in line)
            seen.append(fields["sender"])
            action = "defer_if_permit 4.7.1 Greylisted, come again" if len(seen) == 1 else "dunno"
            writer.write(f"action={action}\n\n".encode())

    service = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with service, running(Postfix, world, policy=service.sockets[0].getsockname()[1]) as server:
        await house.submit(letter(7, "bob@postfix.test"), "bob@postfix.test")
        later = await house.result("7@us.test", "deferred")
        assert "Greylisted" in later["text"]
        await until(server.received)
        service.close()
    assert seen == [ALICE, ALICE]
    assert await house.inbox() == [], "nobody is told of what came right"


async def test_a_large_message_and_many(house: House, world: World) -> None:
    """Small ones go by BDAT, in one piece with their envelope."""
    async with running(Exim, world) as server:
        large = letter(8, "bob@exim.test", "0123456789abcdef\r\n" * 200_000)
        await house.submit(large, "bob@exim.test")
        (got,) = await until(server.received)
        assert got.rstrip(b"\r\n").endswith(large.rstrip(b"\r\n"))
        await asyncio.gather(
            *(house.submit(letter(100 + n, "bob@exim.test"), "bob@exim.test") for n in range(30))
        )
        await until(lambda: len(server.received()) == 31)
        assert "BDAT" in await house.story("100@us.test")
