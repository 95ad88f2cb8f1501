"""The stub resolver against nsd and a validating unbound."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
import uvloop
from support.nameservers import NameServers

from mailwright.base.clock import ManualClock
from mailwright.dns import lookup
from mailwright.dns.api import MX, DNSTemporary, Status
from mailwright.dns.resolver import StubResolver
from mailwright.dns.servers import Server, parse_server, system_servers


@pytest.fixture
def resolver(name_servers: NameServers) -> StubResolver:
    return StubResolver([name_servers.unbound], timeout=15.0, deadline=60.0)


@pytest.fixture
def direct(name_servers: NameServers) -> StubResolver:
    return StubResolver([name_servers.nsd], timeout=15.0, deadline=60.0)


async def test_a_signed_domain_is_secure(resolver: StubResolver) -> None:
    answer = await lookup.mx(resolver, "Signed.test.")
    assert answer.status is Status.FOUND
    assert answer.records == (MX(10, "mx1.signed.test"), MX(20, "mx2.signed.test"))
    assert answer.secure
    assert 0 < answer.ttl <= 300
    hosts = await lookup.addresses(resolver, "mx1.signed.test")
    assert hosts.records == ("2001:db8::1", "192.0.2.1")
    assert hosts.secure
    tlsa = await lookup.tlsa(resolver, "mx1.signed.test")
    assert tlsa.secure
    assert tlsa.records[0][:3] == (3, 1, 1)
    assert tlsa.records[0].data[:2] == b"\x87\x55"


async def test_denials_are_secure_too(resolver: StubResolver) -> None:
    for name, status in (("mx2.signed.test", Status.NO_DATA), ("nobody.signed.test", Status.NO_NAME)):
        answer = await resolver.resolve(name, "TLSA")
        assert (answer.status, answer.records, answer.secure) == (status, (), True)
        assert 0 < answer.ttl <= 60
        assert not answer


async def test_an_unsigned_domain_is_not_secure(resolver: StubResolver) -> None:
    answer = await lookup.addresses(resolver, "www.plain.test")
    assert answer.records == ("192.0.2.80",)
    assert not answer.secure
    assert (await lookup.mx(resolver, "plain.test")).records == (MX(0, "."),)


async def test_bogus_data_is_a_temporary_failure_that_says_so(resolver: StubResolver) -> None:
    with pytest.raises(
        DNSTemporary, match=r"bogus\.signed\.test A: 127\.0\.0\.1:\d+ answered SERVFAIL \(dnssec bogus"
    ):
        await resolver.resolve("bogus.signed.test", "A")
    with pytest.raises(DNSTemporary):
        await lookup.addresses(resolver, "bogus.signed.test")


def test_it_runs_on_uvloop_too(name_servers: NameServers) -> None:
    async def run() -> None:
        resolver = StubResolver([name_servers.nsd], timeout=15.0, deadline=60.0)
        assert len((await lookup.txt(resolver, "large.plain.test")).records[0]) == 8000
        with pytest.raises(DNSTemporary, match="cannot be reached"):
            await StubResolver(["127.0.0.1:1"]).resolve("plain.test", "MX")

    uvloop.run(run())


async def test_what_the_validator_found_bogus_is_not_asked_of_others(name_servers: NameServers) -> None:
    resolver = StubResolver([name_servers.unbound, name_servers.nsd], timeout=15.0, deadline=60.0)
    with pytest.raises(DNSTemporary, match="dnssec bogus"):
        await resolver.resolve("bogus.signed.test", "A")
    unwary = StubResolver(
        [name_servers.unbound, name_servers.nsd], timeout=15.0, deadline=60.0, trust_ad=False
    )
    assert (await unwary.resolve("bogus.signed.test", "A")).records == ("192.0.2.67",)


async def test_ad_counts_only_from_a_trusted_server(name_servers: NameServers) -> None:
    resolver = StubResolver([name_servers.unbound], timeout=15.0, deadline=60.0, trust_ad=False)
    assert not (await resolver.resolve("signed.test", "MX")).secure


async def test_an_authoritative_server_proves_nothing(direct: StubResolver) -> None:
    answer = await direct.resolve("signed.test", "MX")
    assert len(answer.records) == 2
    assert not answer.secure


async def test_aliases_are_followed(resolver: StubResolver) -> None:
    answer = await resolver.resolve("alias.signed.test", "A")
    assert (answer.records, answer.canonical, answer.secure) == (("192.0.2.1",), "mx1.signed.test", True)
    answer = await resolver.resolve("c1.plain.test", "A")
    assert (answer.records, answer.canonical) == (("192.0.2.80",), "www.plain.test")
    answer = await resolver.resolve("c1.plain.test", "CNAME")
    assert answer.records == ("c2.plain.test",)
    answer = await resolver.resolve("c1.plain.test", "AAAA")
    assert (answer.status, answer.canonical) == (Status.NO_DATA, "www.plain.test")


@pytest.mark.parametrize("name", ["out.signed.test", "alias.plain.test"])
async def test_one_insecure_step_makes_the_chain_insecure(resolver: StubResolver, name: str) -> None:
    answer = await resolver.resolve(name, "A")
    assert answer.records
    assert not answer.secure


async def test_an_alias_into_another_zone_is_asked_again(direct: StubResolver) -> None:
    # nsd does not follow out of its zone when it serves the target apart.
    answer = await direct.resolve("out.signed.test", "A")
    assert (answer.records, answer.canonical) == (("192.0.2.80",), "www.plain.test")
    assert answer.ttl <= 300


async def test_an_alias_loop_ends(direct: StubResolver) -> None:
    with pytest.raises(DNSTemporary, match=r"aliases in a row|SERVFAIL"):
        await direct.resolve("loop1.plain.test", "A")


async def test_text_is_joined_octets_and_large_answers_come_by_tcp(direct: StubResolver) -> None:
    assert (await lookup.txt(direct, "text.plain.test")).records == (b"v=spf1 -all\xff",)
    large = await lookup.txt(direct, "large.plain.test")
    assert len(large.records[0]) == 40 * 200


async def test_ptr(resolver: StubResolver) -> None:
    for address in ("192.0.2.1", "::ffff:192.0.2.1"):
        assert (await lookup.ptr(resolver, address)).records == ("mail.plain.test",)
    assert (await lookup.ptr(resolver, "192.0.2.9")).status is Status.NO_NAME
    assert (await lookup.ptr(resolver, "not an address")).status is Status.NO_NAME


async def test_odd_names_come_escaped(direct: StubResolver) -> None:
    assert (await lookup.mx(direct, "odd.plain.test")).records == (MX(10, "a\\.b\\032c.plain.test"),)


@pytest.mark.parametrize(
    "name", ["", "a..b", "x" * 64 + ".test", "a." * 127 + "test", "bücher.test", "\\999", ".a"]
)
async def test_what_cannot_be_a_name_does_not_exist(direct: StubResolver, name: str) -> None:
    assert (await direct.resolve(name, "A")).status is Status.NO_NAME


async def test_foreign_questions_are_refused_in_clear_words(direct: StubResolver) -> None:
    with pytest.raises(DNSTemporary, match=r"example\.org MX: 127\.0\.0\.1:\d+ answered REFUSED"):
        await direct.resolve("example.org", "MX")


async def test_the_cache_serves_until_the_ttl_ends_and_no_longer(name_servers: NameServers) -> None:
    clock = ManualClock()
    resolver = StubResolver([name_servers.nsd], timeout=15.0, deadline=60.0, clock=clock)
    first = await resolver.resolve("plain.test", "MX")
    resolver.servers = [Server("127.0.0.1", 1)]  # nobody answers there
    clock.advance(100.0)
    again = await resolver.resolve("PLAIN.test.", "mx")
    assert again.records == first.records
    assert again.ttl == first.ttl - 100
    clock.advance(first.ttl - 100)
    with pytest.raises(DNSTemporary, match="cannot be reached"):
        await resolver.resolve("plain.test", "MX")


async def test_denials_and_failures_are_remembered_briefly(name_servers: NameServers) -> None:
    clock = ManualClock()
    resolver = StubResolver([name_servers.nsd], timeout=15.0, deadline=60.0, clock=clock)
    assert (await resolver.resolve("no.plain.test", "A")).ttl == 60  # the SOA's minimum
    with pytest.raises(DNSTemporary):
        await resolver.resolve("example.org", "A")
    working, resolver.servers = resolver.servers, [Server("127.0.0.1", 1)]
    assert (await resolver.resolve("no.plain.test", "A")).status is Status.NO_NAME
    with pytest.raises(DNSTemporary, match="REFUSED"):
        await resolver.resolve("example.org", "A")
    clock.advance(6.0)
    with pytest.raises(DNSTemporary, match="cannot be reached"):
        await resolver.resolve("example.org", "A")
    clock.advance(60.0)
    resolver.servers = working
    assert (await resolver.resolve("no.plain.test", "A")).ttl == 60


async def test_a_dead_server_comes_last_for_a_while(name_servers: NameServers) -> None:
    clock = ManualClock()
    resolver = StubResolver(["127.0.0.1:1", name_servers.unbound], clock=clock)
    dead, alive = resolver.servers
    assert (await resolver.resolve("signed.test", "MX")).secure
    assert resolver._order_servers() == [alive, dead]
    clock.advance(31.0)
    assert resolver._order_servers() == [dead, alive]


async def test_many_questions_at_once_are_all_answered_and_equal_ones_asked_once(
    direct: StubResolver,
) -> None:
    names = [f"n{index}.plain.test" for index in range(300)] * 3
    started = time.process_time()
    answers = await asyncio.gather(*(direct.resolve(name, "A") for name in names))
    assert {answer.status for answer in answers} == {Status.NO_NAME}
    assert not direct._pending
    assert time.process_time() - started < 5.0


def test_a_changed_resolv_conf_is_followed(tmp_path: Path) -> None:
    clock = ManualClock()
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 192.0.2.1\n")
    resolver = StubResolver(clock=clock, resolv_conf=conf)
    conf.write_text("nameserver 192.0.2.2\n")
    assert resolver._order_servers() == [Server("192.0.2.1")]
    clock.advance(30.0)
    assert resolver._order_servers() == [Server("192.0.2.2")]


def test_servers_are_written_as_people_write_them(tmp_path: Path) -> None:
    assert parse_server("127.0.0.1:5353") == Server("127.0.0.1", 5353)
    assert parse_server("[::1]:5353") == Server("::1", 5353)
    assert parse_server("2001:db8::1") == Server("2001:db8::1", 53)
    assert str(parse_server("[::1]:5353")) == "[::1]:5353"
    assert parse_server("127.0.0.53").is_loopback
    assert parse_server("::1").is_loopback
    assert not parse_server("192.0.2.1").is_loopback
    for wrong in ("", "localhost", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:x", "[::1]x", "127.0.0.1:99999"):
        with pytest.raises(ValueError, match=r"as 127\.0\.0\.1:5353"):
            parse_server(wrong)
    conf = tmp_path / "resolv.conf"
    conf.write_text("# none\nsearch example.org\nnameserver junk\nnameserver 192.0.2.1\nnameserver ::1\n")
    assert system_servers(conf) == [Server("192.0.2.1"), Server("::1")]
    assert system_servers(tmp_path / "missing") == [Server("127.0.0.1")]
