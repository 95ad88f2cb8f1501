"""From an address to a connection that may begin with MAIL: TCP, TLS as the policy wants it, EHLO, login."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from mailwright.base.clock import Clock
from mailwright.mailauth.tlsrpt import results as tlsrpt
from mailwright.mailauth.tlsrpt.results import AppliedPolicy, SessionResult
from mailwright.net import stream
from mailwright.net.stream import StreamProtocol
from mailwright.queue.hosts import Host
from mailwright.queue.routes import Route
from mailwright.queue.security import REQUIRETLS, Contexts, Security, TLSFault, shake_hands
from mailwright.queue.tlsreports import TLSReports
from mailwright.queue.values import Outcome, Result
from mailwright.queue.wire import GREETING_TIMEOUT, Lost, Wire, reply_text
from mailwright.sasl.client import choose_mechanism
from mailwright.smtp.replies import Reply

CONNECT_TIMEOUT: Final = 30.0
MAX_TRIES: Final = 6  # addresses in one attempt
AVOID_FOR: Final = 300.0  # seconds for which an address that did not answer comes last
MAX_REMEMBERED: Final = 5000

_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(frozen=True)
class Settings:
    """Ours in every dialog. `port` is that of the world's servers; `sources` and `proxy` are for what has no route."""

    hostname: str
    port: int = 25
    sources: tuple[str, ...] = ()
    proxy: str = ""
    authorities: str | None = None  # PEM file of trusted CAs instead of the system's


class Unreachable(Exception):
    """No connection to this address; `result` says why."""

    def __init__(self, result: Result) -> None:
        super().__init__(result.text)
        self.result = result


@dataclass(frozen=True)
class Place:
    """Where a connection leads, and how: connections to the same place are interchangeable."""

    route: str
    host: str
    address: str
    port: int
    security: str
    domain: str  # whose certificate was checked for; '' when nothing depends on it


class Network:
    """Our side of every connection: where from, with which trust, and what is remembered of addresses."""

    def __init__(self, settings: Settings, clock: Clock, tls_reports: TLSReports | None) -> None:
        self.settings = settings
        self.clock = clock
        self.contexts = Contexts(settings.authorities)
        self._tls_reports = tls_reports
        self._avoid: dict[tuple[str, int], float] = {}
        self._turn = 0

    def order(self, hosts: list[Host], port: int) -> list[tuple[Host, str]]:
        """The addresses to try, those that did not answer lately last."""
        now = self.clock.now()
        pairs = [(host, address) for host in hosts for address in host.addresses]
        return sorted(pairs, key=lambda pair: self._avoid.get((pair[1], port), 0.0) > now)[:MAX_TRIES]

    def avoid(self, address: str, port: int) -> None:
        remember(self._avoid, (address, port), self.clock.now() + AVOID_FOR)

    def note(self, security: Security, host: Host, address: str, failure: str = "", reason: str = "") -> None:
        """Count a session for TLS-RPT."""
        applied = security.applied
        if self._tls_reports is None or applied is None:
            return
        result = None
        if failure:
            result = SessionResult(
                applied, failure, receiving_host=host.name, receiving_ip=address, reason=reason[:200]
            )
        self._tls_reports.note(applied, result)

    def note_policy(self, domain: str, failure: str) -> None:
        """Count that a policy could not be had."""
        if self._tls_reports is not None and failure:
            applied = AppliedPolicy(tlsrpt.POLICY_STS, domain)
            self._tls_reports.note(applied, SessionResult(applied, failure))

    async def open_stream(self, route: Route, address: str, port: int) -> StreamProtocol:
        """Raises OSError, TimeoutError."""
        proxy = route.proxy or self.settings.proxy
        if proxy:
            sock = await _connect_through(proxy, address, port)
            return await stream.connect(address, port, timeout=CONNECT_TIMEOUT, sock=sock)
        sources = [s for s in route.sources or self.settings.sources if (":" in s) == (":" in address)]
        self._turn += 1
        source = (sources[self._turn % len(sources)], 0) if sources else None
        return await stream.connect(address, port, timeout=CONNECT_TIMEOUT, source=source)


class Opener:
    """The way from nothing to a connection that may begin with MAIL."""

    def __init__(
        self,
        network: Network,
        route: Route,
        domain: str,
        host: Host,
        place: Place,
        security: Security,
    ) -> None:
        self._network = network
        self._route = route
        self._domain = domain
        self._host = host
        self._place = place
        self._security = security
        self._wire: Wire | None = None

    def transcript(self) -> list[str]:
        return self._wire.take_transcript() if self._wire is not None else []

    async def open(self) -> Wire:
        """Raises Unreachable, TLSFault."""
        place = self._place
        try:
            opened = await self._network.open_stream(self._route, place.address, place.port)
        except (OSError, TimeoutError) as error:
            self._network.avoid(place.address, place.port)
            text = f"cannot connect to port {place.port}: {_why(error)}"
            raise Unreachable(self._result(Outcome.DEFERRED, "connect", "4.4.1", text)) from error
        wire = self._wire = Wire(opened, lmtp=self._route.lmtp)
        phase = "greeting"
        try:
            if self._route.implicit_tls:
                await self._secure(wire)
            self._check((await wire.reply(GREETING_TIMEOUT)).reply, "greeting")
            phase = "ehlo"
            await self._hello(wire)
            if not self._route.implicit_tls:
                phase = "tls"
                await self._start_tls(wire)
            self._check_requiretls(wire)
            phase = "auth"
            await self._log_in(wire)
        except Lost as error:
            wire.abort()
            self._network.avoid(place.address, place.port)
            raise Unreachable(self._result(Outcome.DEFERRED, phase, "4.4.2", str(error))) from error
        except (Unreachable, TLSFault):
            await wire.close()
            raise
        return wire

    def _result(self, outcome: Outcome, phase: str, status: str, text: str, code: int = 0) -> Result:
        return Result(outcome, phase, status, text, code, self._host.name or self._place.address)

    def _check(self, reply: Reply, phase: str) -> None:
        if reply.is_success:
            return
        failed = reply.code >= 500
        first = "5" if failed else "4"
        status = reply.enhanced if reply.enhanced[:1] == first else f"{first}.3.2"
        outcome = Outcome.FAILED if failed else Outcome.DEFERRED
        raise Unreachable(self._result(outcome, phase, status, reply_text(reply), reply.code))

    async def _hello(self, wire: Wire) -> None:
        name = self._route.helo or self._network.settings.hostname
        wire.send(wire.machine.hello(name))
        reply = (await wire.reply()).reply
        if reply.code >= 500 and not wire.machine.lmtp and not self._security.must and not wire.is_lost:
            wire.send(wire.machine.helo(name))
            reply = (await wire.reply()).reply
        self._check(reply, "ehlo")

    async def _start_tls(self, wire: Wire) -> None:
        if not self._security.tls:
            return
        if "STARTTLS" not in wire.machine.extensions:
            self._without(tlsrpt.STARTTLS_NOT_SUPPORTED, "the server does not offer STARTTLS")
            return
        wire.send(wire.machine.starttls())
        reply = (await wire.reply()).reply
        if reply.code != 220:
            self._without(tlsrpt.STARTTLS_NOT_SUPPORTED, f"the server refused STARTTLS: {reply_text(reply)}")
            return
        await self._secure(wire)
        await self._hello(wire)

    def _without(self, result: str, text: str) -> None:
        """The peer has no TLS for us."""
        if self._security.must:
            raise TLSFault(result, text)
        self._network.note(self._security, self._host, self._place.address, result, text)

    async def _secure(self, wire: Wire) -> None:
        network = self._network
        await shake_hands(wire, self._host, self._domain, self._security, network.contexts, network.clock.now)

    def _check_requiretls(self, wire: Wire) -> None:
        """Where it is missing, the next host is asked (RFC 8689 4.2.1)."""
        if self._security.label.startswith(REQUIRETLS) and REQUIRETLS not in wire.machine.extensions:
            text = "the server does not offer REQUIRETLS"
            raise Unreachable(self._result(Outcome.FAILED, "tls", "5.7.30", text))

    async def _log_in(self, wire: Wire) -> None:
        route = self._route
        if not route.username:
            return
        offered = list(wire.machine.extensions.mechanisms)
        if wire.tls is None and not wire.stream.peer.is_loopback:
            offered = [name for name in offered if name.startswith("SCRAM")]
        mechanism = choose_mechanism(
            offered, route.username, route.password, nonce=secrets.token_urlsafe(18), channel_binding=None
        )
        if mechanism is None:
            text = f"no way to log in: the server offers {' '.join(offered) or 'nothing'} here"
            raise Unreachable(self._result(Outcome.DEFERRED, "auth", "4.7.8", text))
        wire.send(wire.machine.auth(mechanism), f"AUTH {mechanism.name} ***".encode())
        reply = (await wire.reply()).reply
        while reply.code == 334:
            wire.send(wire.machine.auth_response(reply), b"***")
            reply = (await wire.reply()).reply
        if not reply.is_success:
            # The configuration is wrong, not the mail: it waits until that is mended.
            raise Unreachable(self._result(Outcome.DEFERRED, "auth", "4.7.8", reply_text(reply), reply.code))


def steps(security: Security) -> list[Security]:
    """What to try one after another: all that is asked, then what is better than nothing."""
    steps = [security]
    if not security.must and security.tls:
        if security.verify:
            steps.append(replace(security, verify="", applied=None))
        steps.append(replace(security, tls=False, verify="", applied=None))
    return steps


def unsafe(text: str, host: Host, security: Security) -> Result:
    return Result(Outcome.DEFERRED, "tls", "4.7.5", f"{text} (policy: {security.label})", host=host.name)


async def _connect_through(proxy: str, address: str, port: int) -> object:
    """A socket that leads to the address by a SOCKS proxy. Raises OSError, TimeoutError."""
    from python_socks import ProxyError  # few have a proxy, and all wait while this is loaded
    from python_socks.async_.asyncio import Proxy

    try:
        made = Proxy.from_url(proxy)
        return await made.connect(dest_host=address, dest_port=port, timeout=CONNECT_TIMEOUT)
    except ProxyError as error:
        raise OSError(str(error)) from error


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_TIMEOUT:.0f} s"
    return (getattr(error, "strerror", "") or str(error) or type(error).__name__)[:200]


def remember(table: dict[_K, _V], key: _K, value: _V) -> None:
    table[key] = value
    if len(table) > MAX_REMEMBERED:
        del table[next(iter(table))]
