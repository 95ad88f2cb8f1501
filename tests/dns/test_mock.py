"""The mock keeps the contract of `Resolver`, and the lookups work over it."""

from __future__ import annotations

import asyncio

import pytest

from mailwright.dns import lookup
from mailwright.dns.api import MX, TLSA, DNSTemporary, Resolver, Status
from mailwright.dns.mock import MockResolver

ZONE = """
; a domain
example.org            MX    20 mx2.example.org.
example.org            MX    10 MX1.example.org   ; preferred
example.org            TXT   "v=spf1 " "-all; really"
mx1.example.org        A     192.0.2.1
mx1.example.org        AAAA  2001:db8::1
_25._tcp.mx1.example.org TLSA 3 1 1 00 FF
mx2.example.org        CNAME mx1.example.org
loop.example.org       CNAME loop.example.org
null.example           MX    0 .
1.2.0.192.in-addr.arpa PTR   mx1.example.org.
"""


@pytest.fixture
def resolver() -> MockResolver:
    return MockResolver.from_text(
        ZONE, secure=["example.org"], failing=["mx1.example.org AAAA", "down.example"]
    )


async def test_lookups(resolver: MockResolver) -> None:
    checked: Resolver = resolver
    found = await lookup.mx(checked, "Example.ORG.")
    assert found.records == (MX(10, "mx1.example.org"), MX(20, "mx2.example.org"))
    assert found.secure
    assert (await lookup.mx(checked, "null.example")).records == (MX(0, "."),)
    assert (await lookup.txt(checked, "example.org")).records == (b"v=spf1 -all; really",)
    assert (await lookup.tlsa(checked, "mx1.example.org")).records == (TLSA(3, 1, 1, b"\x00\xff"),)
    assert (await lookup.ptr(checked, "192.0.2.1")).records == ("mx1.example.org",)
    assert resolver.queries[0] == ("example.org", "MX")


async def test_one_family_that_fails_is_forgiven_when_the_other_has_addresses(resolver: MockResolver) -> None:
    found = await lookup.addresses(resolver, "mx2.example.org")
    assert (found.records, found.canonical, found.secure) == (("192.0.2.1",), "mx1.example.org", True)
    resolver.remove("mx1.example.org", "A")
    with pytest.raises(DNSTemporary, match=r"mx1\.example\.org AAAA"):
        await lookup.addresses(resolver, "mx1.example.org")
    with pytest.raises(DNSTemporary):
        await lookup.addresses(resolver, "down.example")


async def test_denials(resolver: MockResolver) -> None:
    assert (await lookup.addresses(resolver, "nobody.example")).status is Status.NO_NAME
    assert (await lookup.addresses(resolver, "_tcp.mx1.example.org")).status is Status.NO_DATA  # RFC 8020
    with pytest.raises(DNSTemporary, match="aliases"):
        await resolver.resolve("loop.example.org", "A")


async def test_delays_use_the_given_sleep() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    resolver = MockResolver({"a.example": {"A": ["192.0.2.1"]}, "b.example": {}}, delay=1.5, sleep=sleep)
    resolver.delays["b.example"] = 0.0
    await asyncio.gather(resolver.resolve("a.example", "A"), resolver.resolve("b.example", "A"))
    assert slept == [1.5]
