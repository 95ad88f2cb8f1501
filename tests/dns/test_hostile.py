"""Servers that lie, babble, stall or break off: only DNSTemporary comes out, and soon."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.demo import free_port
from support.pace import slowness

from mailwright.base.clock import ManualClock
from mailwright.dns.api import Answer, DNSTemporary, Record, Status
from mailwright.dns.cache import Cache
from mailwright.dns.resolver import StubResolver
from mailwright.dns.wire import BadReply, build_query, is_reply_to, parse_name, read_reply

NAME = dns.name.from_text("mx.example.org.")
Reply = Callable[[bytes], list[bytes]]


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        for wire in self._reply(data):
            self._transport.sendto(wire, addr)


@asynccontextmanager
async def serve(udp: Reply, tcp: Reply) -> AsyncIterator[str]:
    """A name server on a loopback port whose answers are whatever the two functions make of a question."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            question = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
            writer.writelines(tcp(question))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    port = free_port()  # for datagrams too
    server = await asyncio.start_server(connected, "127.0.0.1", port)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Datagrams(udp), local_addr=("127.0.0.1", port))
    try:
        yield f"127.0.0.1:{port}"
    finally:
        transport.close()
        server.close()
        await server.wait_closed()


def answer(question: bytes, text: str = "mx.example.org. 60 IN A 192.0.2.1", flags: int = 0) -> bytes:
    reply = dns.message.make_response(dns.message.from_wire(question), recursion_available=True)
    reply.flags |= flags
    if text:
        name, ttl, _, rtype, data = text.split(None, 4)
        reply.answer.append(dns.rrset.from_text(name, int(ttl), "IN", rtype, data))
    return reply.to_wire()


def framed(wire: bytes) -> bytes:
    return len(wire).to_bytes(2, "big") + wire


def silent(question: bytes) -> list[bytes]:
    return []


def good_tcp(question: bytes) -> list[bytes]:
    return [framed(answer(question))]


async def ask(udp: Reply, tcp: Reply, timeout: float = 30.0) -> Answer[Record]:
    async with serve(udp, tcp) as server:
        return await StubResolver([server], timeout=timeout, deadline=60.0, rounds=1).resolve(
            "mx.example.org", "A"
        )


async def test_truncation_leads_to_tcp() -> None:
    found = await ask(lambda question: [answer(question, "", dns.flags.TC)], good_tcp)
    assert found.records == ("192.0.2.1",)


async def test_strays_are_passed_over() -> None:
    def udp(question: bytes) -> list[bytes]:
        forged = answer(question, "mx.example.org. 60 IN A 192.0.2.66")
        other_id = bytes([forged[0] ^ 1]) + forged[1:]
        other_name = forged.replace(b"\x02mx", b"\x02my")
        return [b"", b"x", question, other_id, other_name, answer(question)]

    assert (await ask(udp, silent)).records == ("192.0.2.1",)


async def test_a_flood_of_strays_leads_to_tcp() -> None:
    def udp(question: bytes) -> list[bytes]:
        forged = answer(question, "mx.example.org. 60 IN A 192.0.2.66")
        return [bytes([forged[0], forged[1] ^ index]) + forged[2:] for index in range(1, 40)]

    assert (await ask(udp, good_tcp)).records == ("192.0.2.1",)


async def test_malformed_datagrams_lead_to_tcp() -> None:
    assert (await ask(lambda question: [answer(question)[:-3]], good_tcp)).records == ("192.0.2.1",)


async def test_a_server_without_edns_is_asked_without() -> None:
    def udp(question: bytes) -> list[bytes]:
        if dns.message.from_wire(question).edns >= 0:
            return [question[:2] + b"\x81\x81" + bytes(8)]  # FORMERR, and not even the question
        return [answer(question)]

    assert (await ask(udp, silent)).records == ("192.0.2.1",)


@pytest.mark.parametrize(
    ("tcp", "said"),
    [
        (lambda question: [], "broke off|closed the connection|cannot be reached"),
        (lambda question: [b"\x00"], "closed the connection"),
        (lambda question: [b"\xff\xff", bytes(100)], "closed the connection"),
        (lambda question: [b"\x00\x00"], "answered another question"),
        (lambda question: [framed(bytes(65535))], "answered another question"),
        (lambda question: [framed(answer(question)[:-2])], "malformed"),
        (lambda question: [framed(answer(question, "", dns.flags.TC))], "truncated"),
    ],
)
async def test_what_breaks_by_tcp_is_temporary(tcp: Reply, said: str) -> None:
    with pytest.raises(DNSTemporary, match=f"mx\\.example\\.org A: 127.*({said})"):
        await ask(lambda question: [answer(question, "", dns.flags.TC)], tcp)


async def test_silence_is_temporary_and_bounded() -> None:
    times: list[float] = []
    while len(times) < 3 and min(times, default=1.0) >= 1.0:  # the machine may be busy for a while
        started = time.monotonic()
        with pytest.raises(DNSTemporary, match="does not answer"):
            await ask(silent, silent, timeout=0.1)
        times.append(time.monotonic() - started)
    assert min(times) < 1.0, times
    async with serve(silent, silent) as server:
        resolver = StubResolver([server], timeout=5.0, deadline=0.1)
        with pytest.raises(DNSTemporary, match=r"no answer in 0\.1 s from 127"):
            await resolver.resolve("mx.example.org", "A")


async def test_equal_questions_are_asked_once_and_one_that_gives_up_harms_none() -> None:
    asked: list[bytes] = []

    def udp(question: bytes) -> list[bytes]:
        asked.append(question)
        return [answer(question)]

    async with serve(udp, silent) as server:
        resolver = StubResolver([server])
        tasks = [asyncio.create_task(resolver.resolve("mx.example.org", "A")) for _ in range(5)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert all(isinstance(result, Answer) and result.records for result in results[1:])
    assert len(asked) == 1


async def test_the_ad_bit_and_zero_ttl() -> None:
    asked: list[bytes] = []

    def udp(question: bytes) -> list[bytes]:
        asked.append(question)
        return [answer(question, "mx.example.org. 0 IN A 192.0.2.1", dns.flags.AD)]

    async with serve(udp, silent) as server:
        resolver = StubResolver([server])
        for _ in range(2):
            assert (await resolver.resolve("mx.example.org", "A")).secure
    assert len(asked) == 2


async def test_an_answer_lives_no_longer_than_its_aliases() -> None:
    def udp(question: bytes) -> list[bytes]:
        if dns.message.from_wire(question).question[0].name == NAME:
            return [answer(question, "mx.example.org. 7 IN CNAME a.example.net.")]
        return [answer(question, "a.example.net. 60 IN A 192.0.2.1")]

    assert (await ask(udp, silent)).ttl == 7


async def test_endless_aliases_end() -> None:
    def udp(question: bytes) -> list[bytes]:
        name = dns.message.from_wire(question).question[0].name.to_text()
        return [answer(question, f"{name} 60 IN CNAME x{len(name)}.example.net.")]

    with pytest.raises(DNSTemporary, match="more than 10 aliases"):
        await ask(udp, silent)


async def test_records_of_others_in_the_answer_are_not_believed() -> None:
    found = await ask(lambda question: [answer(question, "bank.example. 60 IN A 192.0.2.66")], silent)
    assert (found.status, found.records, found.ttl) == (Status.NO_DATA, (), 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=4), st.binary(max_size=80), st.booleans())
def test_any_octets_end_in_an_answer_or_dns_temporary(udp: list[bytes], tcp: bytes, keep_head: bool) -> None:
    def reply(question: bytes) -> list[bytes]:
        head = question[:2] + b"\x81\x80" + question[4:] if keep_head else b""
        return [head + wire for wire in udp]

    async def run() -> None:
        try:
            found = await ask(reply, lambda question: [tcp], timeout=0.02)
        except DNSTemporary:
            return
        assert not found.records
        assert not found.secure

    asyncio.run(run())


query = build_query(NAME, "MX", 1)
BASE = answer(query.wire, "mx.example.org. 60 IN MX 10 a.example.org.")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(2, len(BASE) - 1), st.integers(0, 255)), max_size=8), st.binary(max_size=9)
)
def test_any_damage_to_a_reply_is_read_or_a_bad_reply(damage: list[tuple[int, int]], tail: bytes) -> None:
    wire = bytearray(BASE)
    for position, octet in damage:
        wire[position] = octet
    is_reply_to(query, bytes(wire))
    try:
        reply = read_reply(NAME, "MX", bytes(wire) + tail)
    except BadReply:
        return
    assert (reply.status is Status.FOUND) == bool(reply.records)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_a_name_or_none(text: str) -> None:
    name = parse_name(text)
    assert name is None or name.is_absolute()


def test_a_huge_reply_is_read_in_linear_time() -> None:
    reply = dns.message.make_response(dns.message.from_wire(query.wire))
    for index in range(2500):
        reply.answer.append(
            dns.rrset.from_text(f"x{index}.example.org.", 60, "IN", "CNAME", f"x{index + 1}.example.org.")
        )
    wire = reply.to_wire(max_size=65535)
    started = time.process_time()
    with pytest.raises(BadReply):
        read_reply(dns.name.from_text("x0.example.org."), "MX", wire)
    took = time.process_time() - started
    assert took < 1.0 or took < slowness()


def test_the_cache_is_bounded_by_count_and_octets() -> None:
    clock = ManualClock()
    cache = Cache(clock, entries=10, octets=1000)
    kept = Answer[Record](Status.FOUND, ("192.0.2.1",), False, 60, "x")
    for index in range(100):
        cache.put((f"n{index}", "A"), kept, 10)
        cache.get(("n0", "A"))
    assert len(cache) == 10
    assert cache.get(("n0", "A")) is not None  # used all the time
    assert cache.get(("n50", "A")) is None
    cache.put(("large", "TXT"), kept, 500)
    assert cache.get(("large", "TXT")) is None  # too large to be worth it
    for index in range(100):
        cache.put((f"m{index}", "A"), kept, 60)
    assert len(cache) == 10
    clock.advance(60.0)
    assert cache.get(("m99", "A")) is None
    cache.put(("day", "A"), Answer(Status.FOUND, ("192.0.2.1",), False, 2**31, "day"), 10)
    clock.advance(86_400.0)
    assert cache.get(("day", "A")) is None
