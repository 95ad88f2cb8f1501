"""MTA-STS over real HTTPS, DANE over real DNSSEC, certificates good and bad: what goes out, and what rather waits."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import certifi
import pytest
from peers.house import House, World, letter, open_house, patient, peer

from mailwright.app import outbound
from mailwright.config import Route
from mailwright.queue.https import HTTPS

POLICY = "version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: 86400\r\n"


def context(world: World, name: str = "mx.peer.test", days: int = 30) -> ssl.SSLContext:
    """The good certificate, or one of the bad that the world has."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(world.good.with_name(f"{name}-{days}.pem"))
    return made


def bad(world: World) -> ssl.SSLContext:
    return context(world, "elsewhere.test", -5)


@asynccontextmanager
async def publishing(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    policy: str,
    status: str = "200 OK",
    *,
    name: str = "mta-sts.sts.test",
) -> AsyncIterator[list[str]]:
    """A web server with the policy of sts.test, on a port of its own; the requests it got."""
    requests: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append((await reader.readuntil(b"\r\n\r\n")).decode().partition("\r\n")[0])
        head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(policy)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n{policy}".encode())
        await writer.drain()
        writer.close()

    web, _ = world.authority.context(name)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=web)
    port = server.sockets[0].getsockname()[1]

    monkeypatch.setattr(certifi, "where", lambda: str(world.authority.file))
    monkeypatch.setattr(outbound, "HTTPS", partial(HTTPS, port=port))
    async with server:
        yield requests


async def outcome(house: House, number: int, domain: str) -> tuple[str, str, str]:
    await house.submit(letter(number, f"bob@{domain}"), f"bob@{domain}")
    result = await house.result(f"{number}@us.test")
    (attempt, *_) = (e for e in (await house.record(f"{number}@us.test"))["events"] if e["kind"] == "attempt")
    told = re.search(r"\(policy: (.*)\)$", result["text"])
    return result["outcome"], result["status"], told[1] if told else attempt.get("policy", "")


async def test_a_good_certificate_under_mta_sts(
    world: World, tmp_path: Path, trusting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        publishing(world, monkeypatch, POLICY.format(mode="enforce", mx="mx.sts.test")) as requests,
        open_house(world, tmp_path) as house,
        peer(world, context=context(world)) as there,
    ):
        assert await outcome(house, 1, "sts.test") == ("sent", "2.0.0", "MTA-STS enforce")
        assert await outcome(house, 2, "sts.test") == ("sent", "2.0.0", "MTA-STS enforce")
    assert requests == ["GET /.well-known/mta-sts.txt HTTP/1.1"], "fetched once, then known"
    assert all(taken.tls for taken in there.taken)


async def test_the_policy_outlives_a_restart(
    world: World, tmp_path: Path, trusting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with peer(world, context=context(world)) as there:
        policy = POLICY.format(mode="enforce", mx="mx.sts.test")
        async with publishing(world, monkeypatch, policy), open_house(world, tmp_path) as house:
            assert (await outcome(house, 1, "sts.test"))[0] == "sent"
        there.context = None
        async with (
            publishing(world, monkeypatch, "", "500 Trouble") as requests,
            open_house(world, tmp_path) as house,
        ):
            assert (await outcome(house, 2, "sts.test"))[0] == "deferred"
        assert requests == []


@pytest.mark.parametrize("flaw", ["certificate", "host", "no TLS"])
async def test_mta_sts_enforce_rather_waits(
    world: World, tmp_path: Path, trusting: None, monkeypatch: pytest.MonkeyPatch, flaw: str
) -> None:
    policy = POLICY.format(mode="enforce", mx="mx.other.test" if flaw == "host" else "mx.sts.test")
    shown = {"certificate": bad(world), "host": context(world), "no TLS": None}[flaw]
    async with (
        publishing(world, monkeypatch, policy),
        open_house(world, tmp_path) as house,
        peer(world, context=shown) as there,
    ):
        result, status, applied = await outcome(house, 1, "sts.test")
        assert (result, status) == ("deferred", "4.7.5")
        assert flaw == "host" or applied == "MTA-STS enforce"
        assert there.taken == []
        assert not any(line.startswith(("MAIL", "DATA")) for line in there.lines)
        assert await house.inbox() == [], "nobody is told before it is late"
        if flaw != "host":  # once their side is mended, it goes
            there.context = context(world)
            await house.result("1@us.test", "sent")
    assert all(taken.tls for taken in there.taken)


@pytest.mark.parametrize("trouble", ["mode", "status", "web certificate", "nonsense"])
async def test_without_a_valid_enforcing_policy_it_goes_all_the_same(
    world: World, tmp_path: Path, trusting: None, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    mode = "testing" if trouble == "mode" else "enforce"
    policy = "<html>" if trouble == "nonsense" else POLICY.format(mode=mode, mx="mx.sts.test")
    status = "404 Not Found" if trouble == "status" else "200 OK"
    name = "else.test" if trouble == "web certificate" else "mta-sts.sts.test"
    async with (
        publishing(world, monkeypatch, policy, status, name=name),
        open_house(world, tmp_path) as house,
        peer(world, context=bad(world)) as there,
    ):
        assert (await outcome(house, 1, "sts.test"))[0] == "sent"
    assert [taken.tls for taken in there.taken] == [True]


async def test_dane_over_signed_zones(house: House, world: World) -> None:
    async with peer(world, context=context(world)) as there:
        assert await outcome(house, 1, "dane.test") == ("sent", "2.0.0", "DANE")
        assert await outcome(house, 2, "danebad.test") == ("deferred", "4.7.5", "DANE")
        assert len(there.taken) == 1
        there.context = None
        assert (await outcome(house, 3, "danebad.test"))[:2] == ("deferred", "4.7.5")
    assert [taken.tls for taken in there.taken] == [True]


async def test_dane_needs_no_authority_and_no_date(house: House, world: World) -> None:
    """DANE-EE is the key alone (RFC 7672 3.1.1): the same key under a name that is wrong, or a bad key."""
    async with peer(world, context=bad(world)) as there:
        assert (await outcome(house, 4, "dane.test"))[:2] == ("deferred", "4.7.5")
        assert there.taken == []
    story = await house.story("4@us.test")
    assert "DANE" in story


async def test_without_trust_in_the_resolver_there_is_no_dane(
    world: World, tmp_path: Path, trusting: None
) -> None:
    async with open_house(world, tmp_path) as one:
        dns = dataclasses.replace(one.config.dns, trust_ad=False)
    async with open_house(world, tmp_path / "two", dns=dns) as house, peer(world) as there:
        assert (await outcome(house, 5, "danebad.test"))[0] == "sent"
    assert len(there.taken) == 1


async def test_tls_by_chance_takes_any_certificate(house: House, world: World) -> None:
    async with peer(world, context=bad(world)) as there:
        assert (await outcome(house, 6, "peer.test"))[2] == "opportunistic"
    assert [taken.tls for taken in there.taken] == [True]


@pytest.mark.parametrize("good", [True, False])
async def test_a_route_that_asks_for_a_right_certificate(
    world: World, tmp_path: Path, trusting: None, good: bool
) -> None:
    queue = patient(world, routes=(Route("safe", domains=("peer.test",), tls="verify", port=world.port),))
    shown = context(world) if good else bad(world)
    async with open_house(world, tmp_path, queue) as house, peer(world, context=shown) as there:
        assert (await outcome(house, 7, "peer.test"))[0] == ("sent" if good else "deferred")
    assert bool(there.taken) is good
