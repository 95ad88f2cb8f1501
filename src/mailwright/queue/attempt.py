"""An attempt: find the hosts, connect as safely as it must be, hand the message over; connections are reused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from mailwright.base.clock import Clock
from mailwright.mailauth.tlsrpt import results as tlsrpt
from mailwright.queue.carrier import Attempt, Carrier
from mailwright.queue.convert import Unconvertible, to_7bit
from mailwright.queue.hosts import Host, HostFinder, NoHosts
from mailwright.queue.model import Claimed
from mailwright.queue.opening import Network, Opener, Place, Settings, Unreachable, remember, steps, unsafe
from mailwright.queue.pool import Pool, Target
from mailwright.queue.routes import Route, Router
from mailwright.queue.security import NOT_REQUIRED, REQUIRETLS, Security, TLSFault, decide, says_optional
from mailwright.queue.sts import Found, Policies
from mailwright.queue.tlsreports import TLSReports
from mailwright.queue.transaction import Body, Sender, check_peer
from mailwright.queue.values import Message, Outcome, Result
from mailwright.queue.wire import Wire
from mailwright.store.db.api import Database, Transaction
from mailwright.store.errors import StoreError

HOSTS_FOR: Final = 60.0  # seconds for which hosts are not looked up again

Sign = Callable[[bytes], bytes]


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
    earlier: list[str] = field(default_factory=list)  # connections that failed before, with the reason


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
        sign_again: Sign | None = None,
    ) -> None:
        self._db = db
        self.finder = finder
        self.clock = clock
        self.settings = settings
        self.router = router or Router()
        self.policies = policies
        self.network = Network(settings, clock, tls_reports)
        self.pool = Pool()
        self._sign_again = sign_again
        self._known: dict[str, _Known] = {}

    def carrier(self, destination: str) -> Carrier:
        return _Courier(self, destination)

    async def close(self) -> None:
        """Close what is idle."""
        await self.pool.close()

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
        remember(self._known, destination, known)
        return known

    def known(self, destination: str) -> list[Host]:
        """The hosts that were found last."""
        known = self._known.get(destination)
        return known.hosts if known is not None else []

    def port_of(self, route: Route) -> int:
        return route.service_port if route.hosts or route.port else self.settings.port

    # Content

    def body(self, message: Message, keywords: dict[str, tuple[str, ...]]) -> Body | None:
        """The content as it is, if the peer takes it so."""
        kind, whole = message.body, message.content
        if kind == "BINARYMIME":
            fits = "BINARYMIME" in keywords and "CHUNKING" in keywords
        else:
            fits = kind == "7BIT" or "8BITMIME" in keywords
        if not fits:
            return None
        if whole is not None:
            return Body(len(whole), whole, kind)
        return Body(
            message.size,
            None,
            kind,
            lambda start, stop: self._db.read(_read_piece, message.blob, start, stop),
        )

    async def converted(self, message: Message) -> Body:
        """The content in a form that every peer takes. Raises Unconvertible, StoreError."""
        whole = message.content
        if whole is None:
            whole = await self._db.read(_read_whole, message.blob)
        if message.body == "8BITMIME" and whole.isascii():  # it may have eight bits, and has none
            return Body(len(whole), whole, "7BIT")
        converted = await asyncio.to_thread(self._convert, whole)
        return Body(len(converted), converted, "7BIT")

    def _convert(self, content: bytes) -> bytes:
        converted = to_7bit(content)
        # Our own signature over the body is broken now: this makes it anew, and leaves that of a stranger.
        return self._sign_again(converted) if self._sign_again is not None else converted


class _Courier:
    """A `runner.Carrier`: the connection it holds, or none yet."""

    def __init__(self, transport: SMTPTransport, destination: str) -> None:
        self._transport = transport
        self._destination = destination
        self._target: Target | None = None
        self._sending: Sender | None = None
        self._next: tuple[Claimed, Wire, Sender] | None = None  # whose envelope may be on its way

    @property
    def is_awaited(self) -> bool:
        return self._sending is not None and self._sending.is_awaited

    def close(self) -> None:
        target, self._target = self._target, None
        if target is not None and self._next is not None and self._next[2].is_begun:
            target.wire.abort()
        elif target is not None:
            self._transport.pool.keep(target)

    async def deliver(self, claimed: Claimed, ahead: Claimed | None = None) -> Attempt:
        tried = _Try(self._transport.clock.monotonic())
        self._sending = None
        try:
            return await self._deliver(claimed, ahead, tried)
        except NoHosts as fault:
            # A name server that is silent is worth a rest, a domain that does not exist is not.
            return self._same_for_all(claimed, fault.result, tried, reached=fault.result.is_final)
        except Unreachable as fault:
            return self._same_for_all(claimed, fault.result, tried, reached=fault.result.is_final)
        except StoreError as error:
            if self._target is not None:
                self._target.wire.abort()  # perhaps in the midst of the content
            result = Result(Outcome.DEFERRED, "content", "4.3.0", f"the content cannot be read: {error}")
            return self._same_for_all(claimed, result, tried, reached=True)
        except asyncio.CancelledError:
            broken = self._break_off(claimed, tried)
            if broken is None:
                raise
            return broken
        except Exception as error:
            if self._target is not None:
                self._target.wire.abort()
            result = Result(Outcome.DEFERRED, "route", "4.3.5", f"unexpected {type(error).__name__}: {error}")
            return self._same_for_all(claimed, result, tried, reached=True)

    def _break_off(self, claimed: Claimed, tried: _Try) -> Attempt | None:
        """The record has to tell why a message may come twice; None when it cannot."""
        sender, target = self._sending, self._target
        if target is not None:
            target.wire.abort()
        if sender is None or target is None or not sender.is_awaited:
            return None
        results = sender.break_off("this server was stopped before the reply came")
        return self._attempt(claimed, target, results, tried)

    async def _deliver(self, claimed: Claimed, ahead: Claimed | None, tried: _Try) -> Attempt:
        target = self._usable(claimed)
        is_reused = target is not None
        while True:
            if target is None:
                target, is_reused = await self._connect(claimed.message, tried)
                self._target = target
            results, answered = await self._send(target, claimed, ahead)
            if answered or not is_reused:
                attempt = self._attempt(claimed, target, results, tried)
                if self._may_go_elsewhere(target, results):
                    return await self._go_elsewhere(claimed, target, attempt, tried)
                return attempt
            # The peer had closed the connection while it was idle, or we refuse the message by what it offered
            # long ago: neither says anything about this message now.
            tried.lines += target.wire.take_transcript()
            await target.wire.close()
            target = self._target = None

    def _may_go_elsewhere(self, target: Target, results: list[Result]) -> bool:
        """Whether this host took nothing for now, and there is another to ask (RFC 5321 5.1)."""
        if not all(result.is_untaken for result in results):
            return False
        known = self._transport.known(self._destination)
        return any(address != target.place.address for host in known for address in host.addresses)

    async def _go_elsewhere(self, claimed: Claimed, first: Target, attempt: Attempt, tried: _Try) -> Attempt:
        """The same to another host. What that refuses for good does not count while the better one only puts off."""
        result = attempt.results[0]
        tried.earlier.append(f"{result.host} [{first.place.address}]: {result.text}")
        tried.lines = list(attempt.event["lines"])  # type: ignore[call-overload]
        self.close()
        try:
            other, _ = await self._connect(claimed.message, tried, but=first.place.address)
        except (NoHosts, Unreachable):
            return attempt
        self._target = other
        results, answered = await self._send(other, claimed, None)
        results = [
            before if after.outcome is Outcome.FAILED else after
            for before, after in zip(attempt.results, results, strict=True)
        ]
        second = self._attempt(claimed, other, results, tried)
        self.close()  # the next message begins with the better host again
        return second if answered else attempt

    def _usable(self, claimed: Claimed) -> Target | None:
        target, begun = self._target, self._next
        if target is None:
            return None
        # Where the lease of what went ahead has ended meanwhile, its envelope would get this message.
        foreign = begun is not None and begun[2].is_begun and begun[0] is not claimed
        if foreign or self._is_unfit(target, claimed.message):
            self.close()
            return None
        return target

    def _is_unfit(self, target: Target, message: Message) -> bool:
        most = target.wire.machine.extensions.limit("MAILMAX")
        spent = most is not None and target.wire.served >= most
        label = target.security.label
        wrong = message.insists_on_tls != label.startswith(REQUIRETLS)
        wrong = wrong or (label == NOT_REQUIRED and not _is_optional(message))
        return target.wire.is_lost or spent or wrong

    async def _send(
        self, target: Target, claimed: Claimed, ahead: Claimed | None
    ) -> tuple[list[Result], bool]:
        """The results, and whether they are the peer's word on this message."""
        wire = target.wire
        wire.served += 1
        begun, self._next = self._next, None
        if begun is not None and begun[0] is claimed and begun[1] is wire:
            sender: Sender | Result = begun[2]
        else:
            sender = await self._sender(target, claimed)
        if isinstance(sender, Result):
            return [sender] * len(claimed.recipients), False
        following: Sender | None = None
        if ahead is not None and self._suits(target, ahead):
            made = await self._sender(target, ahead)
            if isinstance(made, Sender):
                following = made
                self._next = (ahead, wire, made)
        self._sending = sender
        results = await sender.send(following)
        self._sending = None
        return results, sender.answered or not wire.is_lost

    async def _sender(self, target: Target, claimed: Claimed) -> Sender | Result:
        """Who sends the message, or why this peer can never take it."""
        wire, message = target.wire, claimed.message
        name = target.host.name or target.place.address
        body = self._transport.body(message, wire.machine.extensions.keywords)
        if body is None:
            try:
                body = await self._transport.converted(message)
            except Unconvertible as error:
                text = f"the server takes 7-bit mail only, and the message cannot be converted: {error}"
                return Result(Outcome.FAILED, "mail", "5.6.3", text, 0, name)
        refusal = await check_peer(wire, message, claimed.recipients, body)
        if refusal is not None:
            return refusal._replace(host=name)
        return Sender(wire, message, claimed.recipients, body, name)

    def _suits(self, target: Target, ahead: Claimed) -> bool:
        """Whether the next message may use this very connection."""
        most = target.wire.machine.extensions.limit("MAILMAX")
        room = most is None or target.wire.served < most
        return room and ahead.message.content is not None and not self._is_unfit(target, ahead.message)

    # Connecting

    async def _connect(self, message: Message, tried: _Try, but: str = "") -> tuple[Target, bool]:
        """A connection, to another address than `but`, and whether it was open already. Raises NoHosts, Unreachable."""
        transport = self._transport
        try:
            route, domain = transport.router.route(self._destination)
        except KeyError:
            text = f"the route of {self._destination} is no longer configured; re-route the message"
            raise Unreachable(Result(Outcome.DEFERRED, "route", "4.3.5", text)) from None
        known = await transport.look_up(self._destination, route, domain)
        policy = known.found.policy if known.found is not None else None
        port = transport.port_of(route)
        faults: list[Result] = []
        for host, address in transport.network.order(known.hosts, port):
            if address == but:
                continue
            security = decide(
                route, domain, host, policy, requiretls=message.insists_on_tls, optional=_is_optional(message)
            )
            certified_for = domain if security.verify else ""
            place = Place(route.name, host.name, address, port, security.label, certified_for)
            target = transport.pool.take(place)
            if target is not None:
                return target, True
            if known.found is not None:
                transport.network.note_policy(domain, known.found.failure)
            try:
                return await self._open(route, domain, host, place, security, tried), False
            except Unreachable as fault:
                faults.append(fault.result)
                tried.earlier.append(f"{host.name or address} [{address}]: {fault.result.text}")
        raise Unreachable(_worst(faults, requiretls=message.insists_on_tls))

    async def _open(
        self, route: Route, domain: str, host: Host, place: Place, security: Security, tried: _Try
    ) -> Target:
        """Connect to one address; what is opportunistic is tried again with less. Raises Unreachable."""
        transport = self._transport
        if security.refusal:
            transport.network.note(security, host, place.address, tlsrpt.VALIDATION_FAILURE, security.refusal)
            if security.must:
                raise Unreachable(unsafe(security.refusal, host, security))
            security = replace(security, verify="", applied=None)  # MTA-STS in testing mode: told, delivered
        for attempt in steps(security):
            opener = Opener(transport.network, route, domain, host, place, attempt)
            try:
                wire = await opener.open()
            except TLSFault as fault:
                transport.network.note(security, host, place.address, fault.result, str(fault))
                tried.lines += opener.transcript()
                if security.must:
                    raise Unreachable(unsafe(str(fault), host, security)) from None
                tried.earlier.append(f"{host.name or place.address} [{place.address}]: {fault}")
            except Unreachable:
                tried.lines += opener.transcript()
                raise
            else:
                if wire.tls is not None and attempt is security:
                    transport.network.note(security, host, place.address)
                return Target(place, host, security, wire)
        raise Unreachable(
            Result(Outcome.DEFERRED, "tls", "4.7.5", "no way of connecting worked", host=host.name)
        )

    # The record

    def _attempt(self, claimed: Claimed, target: Target, results: list[Result], tried: _Try) -> Attempt:
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


def _is_optional(message: Message) -> bool:
    """A large message that says so is held to the policies all the same: nobody puts the field there."""
    return message.content is not None and not message.requiretls and says_optional(message.content)


def _worst(faults: list[Result], *, requiretls: bool) -> Result:
    """One result for all addresses: for good only when every host said so (RFC 5321 5.1)."""
    if not faults:
        return Result(Outcome.DEFERRED, "connect", "4.4.1", "there is no address to connect to")
    if requiretls and all(fault.phase == "tls" for fault in faults):  # RFC 8689 4.2.1
        failed = [fault for fault in faults if fault.outcome is Outcome.FAILED]
        return failed[0] if failed else faults[0]._replace(outcome=Outcome.FAILED, status="5.7.10")
    deferred = [fault for fault in faults if fault.outcome is Outcome.DEFERRED]
    return deferred[-1] if deferred else faults[-1]


def _read_whole(tx: Transaction, blob: int) -> bytes:
    return b"".join(tx.blobs.read(tx, blob))


def _read_piece(tx: Transaction, blob: int, start: int, stop: int) -> bytes:
    return b"".join(tx.blobs.read(tx, blob, start, stop))
