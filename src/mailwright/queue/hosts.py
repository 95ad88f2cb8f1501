"""Which hosts take a domain's mail, in which order (RFC 5321 5.1, RFC 7505, RFC 7672 2.2)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from mailwright.base.domain import InvalidDomain, is_address, to_ascii
from mailwright.dns import lookup
from mailwright.dns.api import MX, TLSA, DNSTemporary, Resolver, Status
from mailwright.queue.values import Outcome, Result

MAX_HOSTS: Final = 50  # the first of them may have no address
MAX_ADDRESSES: Final = 4  # of one host that are tried


@dataclass(frozen=True)
class Host:
    """A mail server. `is_secure`: DNSSEC vouches for the way from the domain to its addresses.

    `canonical` is where its CNAMEs lead, `tlsa_base` of which of the two names `tlsa` is.
    """

    name: str  # A-labels; '' for an address literal
    addresses: tuple[str, ...]
    is_secure: bool = False
    tlsa: tuple[TLSA, ...] = ()  # secure records only
    canonical: str = ""
    tlsa_base: str = ""


class NoHosts(Exception):
    """Nobody takes the mail, or that cannot be known now; `result` is for every recipient."""

    def __init__(self, result: Result) -> None:
        super().__init__(result.text)
        self.result = result


def _failed(status: str, text: str) -> NoHosts:
    return NoHosts(Result(Outcome.FAILED, "dns", status, text))


def _loop(domain: str) -> NoHosts:
    return _failed("5.4.6", f"the mail for {domain} leads back to this server, which does not know it")


def _deferred(text: str, status: str = "4.4.3") -> NoHosts:
    return NoHosts(Result(Outcome.DEFERRED, "dns", status, text))


class HostFinder:
    """Asks the DNS. `ours` are our names, and `is_ours` knows our addresses: mail must not come back to ourselves."""

    def __init__(
        self,
        resolver: Resolver,
        *,
        ours: Iterable[str] = (),
        is_ours: Callable[[str, int], bool] = lambda address, port: False,
        dane: bool = True,
        roll: Callable[[], float] = random.random,
    ) -> None:
        self._resolver = resolver
        self._ours = frozenset(name.lower().rstrip(".") for name in ours)
        self._is_ours = is_ours
        self._dane = dane
        self._roll = roll

    async def of_domain(self, domain: str, port: int) -> list[Host]:
        """The hosts of a recipient domain, the most preferred first; equal ones shuffled. Raises NoHosts."""
        if domain.startswith("["):
            address = _literal(domain)
            if self._is_ours(address, port):
                raise _loop(domain)
            return [Host("", (address,))]
        try:
            name = to_ascii(domain)
        except InvalidDomain as error:
            raise _failed("5.1.2", f"{error}; check the part after the @") from error
        try:
            answer = await lookup.mx(self._resolver, name)
        except DNSTemporary as error:
            raise _deferred(f"the mail servers of {name} cannot be looked up: {error}") from error
        if answer.status is Status.NO_NAME:
            raise _failed("5.1.2", f"the domain {name} does not exist")
        if not answer.records:  # implicit MX
            return await self._addresses([MX(0, name)], port, answer.secure, name)
        if [mx.exchange for mx in answer.records] == ["."]:
            raise _failed("5.1.10", f"{name} takes no mail (null MX)")  # RFC 7505 4.1
        records = self._order(name, [mx for mx in answer.records if mx.exchange != "."])
        return await self._addresses(records, port, answer.secure, name)

    def _order(self, domain: str, records: list[MX]) -> list[MX]:
        """By preference; what is not better than we are would lead back to us (RFC 5321 5.1)."""
        mine = [mx.preference for mx in records if mx.exchange in self._ours]
        if mine:
            records = [mx for mx in records if mx.preference < min(mine)]
            if not records:
                raise _loop(domain)
        return sorted(records, key=lambda mx: (mx.preference, self._roll()))[:MAX_HOSTS]

    async def of_names(self, names: Iterable[str], port: int) -> list[Host]:
        """The hosts that a route names: addresses, host names, or `mx:DOMAIN`. Raises NoHosts."""
        hosts: list[Host] = []
        fault: NoHosts | None = None
        for name in names:
            plain = name.strip("[]")
            try:
                if plain.startswith("mx:"):
                    hosts += await self.of_domain(plain[3:], port)
                elif is_address(plain):
                    hosts.append(Host("", (plain,)))
                else:
                    hosts.append(await self._named(plain, port))
            except NoHosts as error:
                fault = error
        if hosts:
            return hosts
        text = str(fault) if fault else "the route has no hosts"
        raise _deferred(f"{text}; check the route in the configuration", "4.4.4")

    async def _named(self, name: str, port: int) -> Host:
        try:
            host = await self._host(name, port, True)
        except DNSTemporary as error:
            raise _deferred(str(error)) from error
        if not host.addresses:
            raise _deferred(f"{name} has no address", "4.4.4")
        return host

    async def _addresses(self, records: list[MX], port: int, secure: bool, domain: str) -> list[Host]:
        found = await asyncio.gather(
            *(self._host(mx.exchange, port, secure) for mx in records), return_exceptions=True
        )
        hosts: list[tuple[int, Host]] = []
        temporary: BaseException | None = None
        mine: int | None = None  # our own preference: those that are not better would lead back to us
        for mx, host in zip(records, found, strict=True):
            if isinstance(host, DNSTemporary):
                temporary = host
            elif isinstance(host, BaseException):
                raise host
            elif any(self._is_ours(address, port) for address in host.addresses):
                mine = mx.preference
                break
            elif host.addresses:
                hosts.append((mx.preference, host))
        usable = [host for preference, host in hosts if mine is None or preference < mine]
        if usable:
            return usable
        if temporary is not None:
            raise _deferred(f"the mail servers of {domain} cannot be looked up: {temporary}")
        if mine is not None:
            raise _loop(domain)
        raise _failed("5.4.4", f"no mail server of {domain} has an address")

    async def _host(self, name: str, port: int, secure: bool) -> Host:
        answer = await lookup.addresses(self._resolver, name)
        is_secure = secure and answer.secure
        tlsa: tuple[TLSA, ...] = ()
        tlsa_base = ""
        if self._dane and is_secure and answer.records:
            # A TLSA lookup that fails makes the host unusable (RFC 7672 2.1.2): nothing may go unprotected.
            # Of an alias, the records of the name where it leads come first (RFC 7672 2.2.2).
            for base in dict.fromkeys((answer.canonical or name, name)):
                records = await lookup.tlsa(self._resolver, base, port)
                if records.secure and records.records and not tlsa:
                    tlsa, tlsa_base = records.records, base
        return Host(name, _mix(answer.records), is_secure, tlsa, answer.canonical, tlsa_base)


def _mix(addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Both families in turn, IPv6 first, so that a broken one costs little."""
    six = [address for address in addresses if ":" in address]
    four = [address for address in addresses if ":" not in address]
    mixed = [address for pair in zip(six, four, strict=False) for address in pair]
    rest = six[len(four) :] or four[len(six) :]
    return tuple(mixed + rest)[:MAX_ADDRESSES]


def _literal(domain: str) -> str:
    text = domain.strip("[]")
    text = text[5:] if text[:5].lower() == "ipv6:" else text
    if not is_address(text):
        raise _failed("5.1.2", f"{domain} is not an address literal")
    return text
