"""Typed questions over any `Resolver`. Each raises DNSTemporary as `Resolver.resolve` does."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TypeVar

from mailwright.dns.api import MX, TLSA, Answer, DNSTemporary, Record, Resolver, Status

T = TypeVar("T", str, bytes, MX, TLSA)


async def mx(resolver: Resolver, domain: str) -> Answer[MX]:
    """The MX records, the most preferred first; the null MX is `MX(0, ".")`. No implicit MX."""
    answer = _narrow(await resolver.resolve(domain, "MX"), MX)
    ordered = tuple(sorted(answer.records))
    return Answer(answer.status, ordered, answer.secure, answer.ttl, answer.canonical)


async def addresses(resolver: Resolver, host: str) -> Answer[str]:
    """IPv6 then IPv4 addresses, asked for at the same time; secure when each answer with addresses is.

    One family that fails is forgiven when the other has addresses.
    """
    results = await asyncio.gather(
        resolver.resolve(host, "AAAA"), resolver.resolve(host, "A"), return_exceptions=True
    )
    answers: list[Answer[str]] = []
    failure: BaseException | None = None
    for result in results:
        if isinstance(result, BaseException):
            if not isinstance(result, DNSTemporary):
                raise result
            failure = result
        else:
            answers.append(_narrow(result, str))
    found = [answer for answer in answers if answer.records]
    if not found and failure is not None:
        raise failure
    return _merge(found or answers)


async def txt(resolver: Resolver, name: str) -> Answer[bytes]:
    """The TXT records, the strings of each joined (RFC 7208 3.3, RFC 6376 3.6.2.2)."""
    return _narrow(await resolver.resolve(name, "TXT"), bytes)


async def tlsa(resolver: Resolver, host: str, port: int = 25) -> Answer[TLSA]:
    """The TLSA records of `_port._tcp.host` (RFC 6698 3). Meaningless for DANE unless `secure`."""
    return _narrow(await resolver.resolve(f"_{port}._tcp.{host}", "TLSA"), TLSA)


async def ptr(resolver: Resolver, address: str) -> Answer[str]:
    """The names of an IP address, by in-addr.arpa or ip6.arpa; an IPv4-mapped address counts as IPv4."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return Answer(Status.NO_NAME, (), False, 0, address)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return _narrow(await resolver.resolve(ip.reverse_pointer, "PTR"), str)


def _narrow(answer: Answer[Record], kind: type[T]) -> Answer[T]:
    records = tuple(record for record in answer.records if isinstance(record, kind))
    return Answer(answer.status, records, answer.secure, answer.ttl, answer.canonical)


def _merge(answers: list[Answer[str]]) -> Answer[str]:
    """One answer out of those of the two families, which are all with addresses or all without."""
    status = answers[0].status
    if any(answer.status is Status.NO_DATA for answer in answers):
        status = Status.NO_DATA
    return Answer(
        status,
        tuple(record for answer in answers for record in answer.records),
        all(answer.secure for answer in answers),
        min(answer.ttl for answer in answers),
        answers[0].canonical,
    )
