"""An attempt: find the hosts, connect as safely as it must be, hand the message over; connections are reused."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from python_socks import ProxyError
from python_socks.async_.asyncio import Proxy

from mailwright.base.clock import Clock
from mailwright.mailauth.tlsrpt import results as tlsrpt
from mailwright.mailauth.tlsrpt.results import AppliedPolicy, SessionResult
from mailwright.net import stream
from mailwright.net.stream import StreamProtocol
from mailwright.queue.convert import Unconvertible, to_7bit
from mailwright.queue.hosts import Host, HostFinder, NoHosts
from mailwright.queue.model import Claimed
from mailwright.queue.routes import Route, Router
from mailwright.queue.runner import Attempt, Carrier
from mailwright.queue.security import Contexts, Security, TLSFault, decide, shake_hands
from mailwright.queue.sts import Found, Policies
from mailwright.queue.tlsreports import TLSReports
from mailwright.queue.transaction import CHUNK, Body, Sender, check_peer
from mailwright.queue.values import Message, Outcome, Result
from mailwright.queue.wire import GREETING_TIMEOUT, Lost, Wire, reply_text
from mailwright.sasl.client import choose_mechanism
from mailwright.smtp.replies import Reply
from mailwright.store.db.api import Database, Transaction
from mailwright.store.errors import StoreError

CONNECT_TIMEOUT: Final = 30.0
IDLE: Final = 10.0  # seconds that a connection waits for more mail
MAX_IDLE: Final = 100
MAX_TRIES: Final = 6  # addresses in one attempt
HOSTS_FOR: Final = 60.0  # seconds for which hosts are not looked up again
AVOID_FOR: Final = 300.0  # seconds for which an address that did not answer comes last
MAX_REMEMBERED: Final = 5000

Sign = Callable[[bytes], bytes]
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
class _Place:
    """Where a connection leads, and how: connections to the same place are interchangeable."""

    route: str
    host: str
    address: str
    port: int
    security: str
    domain: str  # whose certificate was checked for; '' when nothing depends on it


@dataclass
class _Target:
    """A connection that is in use."""

    place: _Place
    host: Host
    security: Security
    wire: Wire


@dataclass
class _Known:
    """What was found out about a destination lately."""

    hosts: list[Host]
    found: Found | None
    until: float


@dataclass
class _Try:
    """What an attempt went through, for the record."""

    began: float
    lines: list[str] = field(default_factory=list)
    earlier: list[str] = field(default_factory=list)  # addresses that failed before, with the reason


class SMTPTransport:
    """A `runner.Transport` over the network."""

    def __init__(
        self,
        db: Database,
        finder: HostFinder,
        clock: Clock,
        settings: Settings,
        *,
        router: Router | None = None,
        policies: Policies | None = None,
        tls_reports: TLSReports | None = None,
        sign: Sign | None = None,
    ) -> None:
        self._db = db
        self.finder = finder
        self.clock = clock
        self.settings = settings
        self.router = router or Router()
        self.policies = policies
        self.contexts = Contexts(settings.authorities)
        self._tls_reports = tls_reports
        self._sign = sign
        self._known: dict[str, _Known] = {}
        self._idle: dict[_Place, list[tuple[_Target, asyncio.TimerHandle]]] = {}
        self._idle_count = 0
        self._avoid: dict[tuple[str, int], float] = {}
        self._turn = 0
        self._closing: set[asyncio.Task[None]] = set()

    def carrier(self, destination: str) -> Carrier:
        return _Courier(self, destination)

    async def close(self) -> None:
        """Close what is idle."""
        for waiting in list(self._idle.values()):
            for target, timer in waiting:
                timer.cancel()
                self._close_soon(target.wire)
        self._idle.clear()
        self._idle_count = 0
        if self._closing:
            await asyncio.wait(self._closing, timeout=5.0)

    # What is known of destinations

    async def look_up(self, destination: str, route: Route, domain: str) -> _Known:
        """The hosts and the MTA-STS policy. Raises NoHosts."""
        now = self.clock.now()
        known = self._known.get(destination)
        if known is not None and now < known.until:
            return known
        port = self.port_of(route)
        if route.hosts:
            known = _Known(await self.finder.of_names(route.hosts, port), None, now + HOSTS_FOR)
        else:
            found = None
            if self.policies is not None and not domain.startswith("["):
                found = await self.policies.find(domain)
            known = _Known(await self.finder.of_domain(domain, port), found, now + HOSTS_FOR)
        _remember(self._known, destination, known)
        return known

    def port_of(self, route: Route) -> int:
        return route.service_port if route.hosts or route.port else self.settings.port

    def order(self, hosts: list[Host], port: int) -> list[tuple[Host, str]]:
        """The addresses to try, those that did not answer lately last."""
        now = self.clock.now()
        pairs = [(host, address) for host in hosts for address in host.addresses]
        return sorted(pairs, key=lambda pair: self._avoid.get((pair[1], port), 0.0) > now)[:MAX_TRIES]

    def avoid(self, address: str, port: int) -> None:
        _remember(self._avoid, (address, port), self.clock.now() + AVOID_FOR)

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

    # Connections

    def take_idle(self, place: _Place) -> _Target | None:
        """A connection that is open already."""
        waiting = self._idle.get(place)
        while waiting:
            target, timer = waiting.pop()
            timer.cancel()
            self._idle_count -= 1
            if not waiting:
                del self._idle[place]
            if not target.wire.is_lost:
                return target
        return None

    def keep(self, target: _Target) -> None:
        """Keep a connection open for a while."""
        wire = target.wire
        most = wire.machine.extensions.limit("MAILMAX") or 1000
        if wire.is_lost or wire.served >= most or self._idle_count >= MAX_IDLE:
            self._close_soon(wire)
            return
        timer = asyncio.get_running_loop().call_later(IDLE, self._expire, target)
        self._idle.setdefault(target.place, []).append((target, timer))
        self._idle_count += 1

    def _expire(self, target: _Target) -> None:
        waiting = self._idle.get(target.place, [])
        waiting[:] = [item for item in waiting if item[0] is not target]
        if not waiting:
            self._idle.pop(target.place, None)
        self._idle_count -= 1
        self._close_soon(target.wire)

    def _close_soon(self, wire: Wire) -> None:
        task = asyncio.create_task(wire.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def open_stream(self, route: Route, address: str, port: int) -> StreamProtocol:
        """Raises OSError, TimeoutError, ProxyError."""
        proxy = route.proxy or self.settings.proxy
        if proxy:
            made = Proxy.from_url(proxy)
            sock = await made.connect(dest_host=address, dest_port=port, timeout=CONNECT_TIMEOUT)
            return await stream.connect(address, port, timeout=CONNECT_TIMEOUT, sock=sock)
        sources = [s for s in route.sources or self.settings.sources if (":" in s) == (":" in address)]
        self._turn += 1
        source = (sources[self._turn % len(sources)], 0) if sources else None
        return await stream.connect(address, port, timeout=CONNECT_TIMEOUT, source=source)

    # Content

    async def body(self, message: Message, keywords: dict[str, tuple[str, ...]]) -> Body:
        """The content in a form that the peer takes. Raises Unconvertible, StoreError."""
        kind, whole = message.body, message.content
        binary_fits = "BINARYMIME" in keywords and "CHUNKING" in keywords
        fits = kind == "7BIT" or (binary_fits if kind == "BINARYMIME" else "8BITMIME" in keywords)
        if fits:
            if whole is not None:
                return Body(len(whole), whole, kind)
            return Body(message.size, None, kind, lambda: self._pieces(message.blob, message.size))
        if whole is None:
            whole = await self._db.read(_read_whole, message.blob)
        converted = await asyncio.to_thread(self._convert, whole, message.account != 0)
        return Body(len(converted), converted, "7BIT")

    def _convert(self, content: bytes, ours: bool) -> bytes:
        converted = to_7bit(content)
        # Our own signature over the body is broken now; that of a stranger is not ours to make again.
        return self._sign(converted) if ours and self._sign is not None else converted

    async def _pieces(self, blob: int, size: int) -> AsyncIterator[bytes]:
        for start in range(0, size, CHUNK):
            yield await self._db.read(_read_piece, blob, start, min(start + CHUNK, size))


class _Courier:
    """A `runner.Carrier`: the connection it holds, or none yet."""

    def __init__(self, transport: SMTPTransport, destination: str) -> None:
        self._transport = transport
        self._destination = destination
        self._target: _Target | None = None
        self._next: tuple[Claimed, Wire, Sender] | None = None  # whose envelope may be on its way

    async def close(self) -> None:
        target, self._target = self._target, None
        if target is not None and self._next is not None and self._next[2].is_begun:
            target.wire.abort()
        elif target is not None:
            self._transport.keep(target)

    async def deliver(self, claimed: Claimed, ahead: Claimed | None = None) -> Attempt:
        tried = _Try(self._transport.clock.monotonic())
        try:
            return await self._deliver(claimed, ahead, tried)
        except NoHosts as fault:
            # A name server that is silent is worth a rest, a domain that does not exist is not.
            return self._same_for_all(claimed, fault.result, tried, reached=fault.result.is_final)
        except Unreachable as fault:
            return self._same_for_all(claimed, fault.result, tried, reached=fault.result.is_final)
        except StoreError as error:
            result = Result(Outcome.DEFERRED, "content", "4.3.0", f"the content cannot be read: {error}")
            return self._same_for_all(claimed, result, tried, reached=True)
        except asyncio.CancelledError:
            if self._target is not None:
                self._target.wire.abort()
            raise
        except Exception as error:
            if self._target is not None:
                self._target.wire.abort()
            result = Result(Outcome.DEFERRED, "route", "4.3.5", f"unexpected {type(error).__name__}: {error}")
            return self._same_for_all(claimed, result, tried, reached=True)

    async def _deliver(self, claimed: Claimed, ahead: Claimed | None, tried: _Try) -> Attempt:
        try:
            route, domain = self._transport.router.route(self._destination)
        except KeyError:
            text = f"the route of {self._destination} is no longer configured; re-route the message"
            raise Unreachable(Result(Outcome.DEFERRED, "route", "4.3.5", text)) from None
        target = self._usable(claimed.message)
        is_reused = target is not None
        while True:
            if target is None:
                target, is_reused = await self._connect(route, domain, claimed.message, tried)
                self._target = target
            results, answered = await self._send(target, claimed, ahead)
            if answered or not is_reused or not target.wire.is_lost:
                return self._attempt(claimed, target, results, tried)
            # The peer had closed the connection while it was idle: that says nothing about this message.
            tried.lines += target.wire.take_transcript()
            target.wire.abort()
            target = self._target = None

    def _usable(self, message: Message) -> _Target | None:
        target = self._target
        if target is None:
            return None
        if self._is_unfit(target, message):
            self._target = None
            self._transport.keep(target)
            return None
        return target

    def _is_unfit(self, target: _Target, message: Message) -> bool:
        most = target.wire.machine.extensions.limit("MAILMAX")
        spent = most is not None and target.wire.served >= most
        wrong = message.requiretls != target.security.label.startswith("REQUIRETLS")
        return target.wire.is_lost or spent or wrong

    async def _send(
        self, target: _Target, claimed: Claimed, ahead: Claimed | None
    ) -> tuple[list[Result], bool]:
        """The results, and whether the peer has answered anything."""
        wire = target.wire
        wire.served += 1
        begun, self._next = self._next, None
        if begun is not None and begun[0] is claimed and begun[1] is wire:
            sender: Sender | Result = begun[2]
        else:
            sender = await self._sender(target, claimed)
        if isinstance(sender, Result):
            return [replace(sender, host=target.host.name)] * len(claimed.recipients), True
        following: Sender | None = None
        if ahead is not None and self._suits(target, ahead):
            made = await self._sender(target, ahead)
            if isinstance(made, Sender):
                following = made
                self._next = (ahead, wire, made)
        results = await sender.send(following)
        name = target.host.name or target.place.address
        return [replace(result, host=name) for result in results], sender.answered

    async def _sender(self, target: _Target, claimed: Claimed) -> Sender | Result:
        """Who sends the message, or why this peer can never take it."""
        wire, message = target.wire, claimed.message
        try:
            body = await self._transport.body(message, wire.machine.extensions.keywords)
        except Unconvertible as error:
            text = f"the server takes 7-bit mail only, and the message cannot be converted: {error}"
            return Result(Outcome.FAILED, "mail", "5.6.3", text)
        refusal = check_peer(wire, message, claimed.recipients, body.size)
        return Sender(wire, message, claimed.recipients, body) if refusal is None else refusal

    def _suits(self, target: _Target, ahead: Claimed) -> bool:
        """Whether the next message may use this very connection."""
        most = target.wire.machine.extensions.limit("MAILMAX")
        room = most is None or target.wire.served < most
        return room and not ahead.message.requiretls and ahead.message.content is not None

    # Connecting

    async def _connect(
        self, route: Route, domain: str, message: Message, tried: _Try
    ) -> tuple[_Target, bool]:
        """A connection, and whether it was open already. Raises NoHosts, Unreachable."""
        transport = self._transport
        known = await transport.look_up(self._destination, route, domain)
        policy = known.found.policy if known.found is not None else None
        port = transport.port_of(route)
        faults: list[Result] = []
        for host, address in transport.order(known.hosts, port):
            security = decide(route, domain, host, policy, requiretls=message.requiretls)
            certified_for = domain if security.verify else ""
            place = _Place(route.name, host.name, address, port, security.label, certified_for)
            target = transport.take_idle(place)
            if target is not None:
                return target, True
            try:
                return await self._open(route, domain, host, place, security, tried), False
            except Unreachable as fault:
                faults.append(fault.result)
                tried.earlier.append(f"{host.name or address} [{address}]: {fault.result.text}")
        if known.found is not None:
            transport.note_policy(domain, known.found.failure)
        raise Unreachable(_worst(faults, requiretls=message.requiretls))

    async def _open(
        self, route: Route, domain: str, host: Host, place: _Place, security: Security, tried: _Try
    ) -> _Target:
        """Connect to one address; what is opportunistic is tried again with less. Raises Unreachable."""
        transport = self._transport
        if security.refusal:
            transport.note(security, host, place.address, tlsrpt.VALIDATION_FAILURE, security.refusal)
            raise Unreachable(_unsafe(security.refusal, host, security))
        for attempt in _steps(security):
            opener = _Opener(transport, route, domain, host, place, attempt)
            try:
                wire = await opener.open()
            except TLSFault as fault:
                transport.note(security, host, place.address, fault.result, str(fault))
                tried.lines += opener.transcript()
                if security.must:
                    raise Unreachable(_unsafe(str(fault), host, security)) from None
            except Unreachable:
                tried.lines += opener.transcript()
                raise
            else:
                if wire.tls is not None and attempt is security:
                    transport.note(security, host, place.address)
                return _Target(place, host, security, wire)
        raise Unreachable(
            Result(Outcome.DEFERRED, "tls", "4.7.5", "no way of connecting worked", host=host.name)
        )

    # The record

    def _attempt(self, claimed: Claimed, target: _Target, results: list[Result], tried: _Try) -> Attempt:
        wire = target.wire
        event = self._event(tried, wire.take_transcript())
        event["host"] = target.host.name or target.place.address
        event["address"] = target.place.address
        event["policy"] = target.security.label
        if wire.tls is not None:
            event["tls"] = f"{wire.tls.version} {wire.tls.cipher}"
        if wire.is_lost:
            self._target = None
            wire.abort()
        return Attempt(tuple(results), reached=True, again=not wire.is_lost, event=event)

    def _same_for_all(self, claimed: Claimed, result: Result, tried: _Try, *, reached: bool) -> Attempt:
        event = self._event(tried, [])
        if result.host:
            event["host"] = result.host
        return Attempt((result,) * len(claimed.recipients), reached=reached, again=False, event=event)

    def _event(self, tried: _Try, lines: list[str]) -> dict[str, object]:
        event: dict[str, object] = {
            "destination": self._destination,
            "seconds": round(self._transport.clock.monotonic() - tried.began, 4),
            "lines": tried.lines + lines,
        }
        if tried.earlier:
            event["earlier"] = tried.earlier
        return event


class _Opener:
    """The way from nothing to a connection that may begin with MAIL."""

    def __init__(
        self,
        transport: SMTPTransport,
        route: Route,
        domain: str,
        host: Host,
        place: _Place,
        security: Security,
    ) -> None:
        self._transport = transport
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
            opened = await self._transport.open_stream(self._route, place.address, place.port)
        except (OSError, TimeoutError, ProxyError) as error:
            self._transport.avoid(place.address, place.port)
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
            phase = "auth"
            await self._log_in(wire)
        except Lost as error:
            wire.abort()
            self._transport.avoid(place.address, place.port)
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
        name = self._route.helo or self._transport.settings.hostname
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
        self._transport.note(self._security, self._host, self._place.address, result, text)

    async def _secure(self, wire: Wire) -> None:
        transport = self._transport
        await shake_hands(
            wire, self._host, self._domain, self._security, transport.contexts, transport.clock.now
        )

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


def _steps(security: Security) -> list[Security]:
    """What to try one after another: all that is asked, then what is better than nothing."""
    steps = [security]
    if not security.must and security.tls:
        if security.verify:
            steps.append(replace(security, verify="", applied=None))
        steps.append(replace(security, tls=False, verify="", applied=None))
    return steps


def _unsafe(text: str, host: Host, security: Security) -> Result:
    return Result(Outcome.DEFERRED, "tls", "4.7.5", f"{text} (policy: {security.label})", host=host.name)


def _worst(faults: list[Result], *, requiretls: bool) -> Result:
    """One result for all addresses: for good only when every host said so (RFC 5321 5.1)."""
    if not faults:
        return Result(Outcome.DEFERRED, "connect", "4.4.1", "there is no address to connect to")
    if requiretls and all(fault.phase == "tls" for fault in faults):
        return replace(faults[0], outcome=Outcome.FAILED, status="5.7.10")  # RFC 8689 5
    deferred = [fault for fault in faults if fault.outcome is Outcome.DEFERRED]
    return deferred[-1] if deferred else faults[-1]


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_TIMEOUT:.0f} s"
    return (getattr(error, "strerror", "") or str(error) or type(error).__name__)[:200]


def _remember(table: dict[_K, _V], key: _K, value: _V) -> None:
    table[key] = value
    if len(table) > MAX_REMEMBERED:
        del table[next(iter(table))]


def _read_whole(tx: Transaction, blob: int) -> bytes:
    return b"".join(tx.blobs.read(tx, blob))


def _read_piece(tx: Transaction, blob: int, start: int, stop: int) -> bytes:
    return b"".join(tx.blobs.read(tx, blob, start, stop))
