"""Builds the way out: routes and rules from the configuration, the resolver, the transport, the queue's runner."""

from __future__ import annotations

from functools import partial

from mailwright.app.storage import presence
from mailwright.base.clock import Clock
from mailwright.config import Config
from mailwright.config import Route as RouteConfig
from mailwright.delivery.local import keep_report
from mailwright.delivery.routing import IsUs, way_back
from mailwright.delivery.signing import KeyRing
from mailwright.dns.resolver import StubResolver
from mailwright.hooks.caller import Hooks
from mailwright.net.addresses import Ours
from mailwright.queue.attempt import SMTPTransport
from mailwright.queue.dsn import Origin
from mailwright.queue.hosts import HostFinder
from mailwright.queue.https import HTTPS
from mailwright.queue.limits import BreakerLimits, SendingLimits
from mailwright.queue.model import Rules
from mailwright.queue.opening import Settings
from mailwright.queue.planner import Limits as PlannerLimits
from mailwright.queue.reports import Reports
from mailwright.queue.routes import Route, Router
from mailwright.queue.runner import Runner
from mailwright.queue.schedule import Schedule
from mailwright.queue.sts import Policies, fetch
from mailwright.queue.tlsreports import TLSReports, post
from mailwright.store.db.api import Transaction
from mailwright.store.notify.api import QUEUE
from mailwright.store.store import Store


def queue_rules(config: Config) -> Rules:
    """When, how long and which way mail is tried."""
    queue = config.queue
    return Rules(
        schedule=Schedule(queue.retries, queue.jitter, queue.warning_after, queue.expire_after),
        breaker=BreakerLimits(queue.strangers_per_hour, failures_per_hour=queue.failures_per_hour),
        router=Router(tuple(_route(route) for route in queue.routes)),
    )


def sending_limits(config: Config) -> SendingLimits:
    """What one account may send."""
    queue = config.queue
    return SendingLimits(
        queue.messages_per_hour, queue.messages_per_day, queue.recipients_per_hour, queue.recipients_per_day
    )


def make_reports(config: Config, keys: KeyRing, rules: Rules, clock: Clock, hostname: str) -> Reports:
    """Who tells senders what became of their mail."""

    def sign(content: bytes) -> bytes:
        return keys.sign_message(content, clock.now()) + content

    is_us = server_itself(config, hostname)

    def keep_local(tx: Transaction, address: str, content: bytes, now: float) -> tuple[str, ...]:
        return keep_report(tx, address, content, now, config.delivery.separator, is_us)

    return Reports(rules, _origin(config, hostname), keep_local, sign, way_back)


def _origin(config: Config, hostname: str) -> Origin:
    return Origin(hostname, config.server.postmaster or f"postmaster@{hostname}")


class Outbound:
    """The queue's runner and what it needs. `start` and `stop` it; `wake` it after something was queued."""

    def __init__(
        self,
        config: Config,
        store: Store,
        keys: KeyRing,
        rules: Rules,
        clock: Clock,
        hostname: str,
        hooks: Hooks,
        reports: Reports,
    ) -> None:
        queue = config.queue
        self.resolver = StubResolver(
            [str(server) for server in config.dns.servers],
            timeout=config.dns.timeout,
            trust_ad=config.dns.trust_ad,
            clock=clock,
        )
        self._db, self._clock = store.db, clock
        self._subscribe = partial(store.notify.subscribe, QUEUE, self._heard)
        https = HTTPS(self.resolver)
        self._reports = reports
        self.tls_reports = (
            TLSReports(
                store.db, self.resolver, clock, _origin(config, hostname), reports, partial(post, https)
            )
            if queue.tlsrpt
            else None
        )
        self.runner = Runner(
            store.db,
            self._transport(config, keys, rules, https, hostname),
            clock,
            rules=rules,
            limits=PlannerLimits(
                connections=queue.connections,
                per_destination=queue.connections_per_destination,
                per_account=queue.messages_per_account,
            ),
            report=reports,
            daily=self._daily,
            often=self._often,
            trace_for=queue.keep_traces,
            hooks=hooks,
            presence=presence(config),
        )

    def _transport(
        self, config: Config, keys: KeyRing, rules: Rules, https: HTTPS, hostname: str
    ) -> SMTPTransport:
        queue, clock = config.queue, self._clock
        policies = Policies(self._db, self.resolver, clock, partial(fetch, https)) if queue.mta_sts else None
        return SMTPTransport(
            self._db,
            HostFinder(self.resolver, ours=(hostname,), is_ours=_ours(config), dane=queue.dane),
            clock,
            Settings(hostname, queue.port, queue.sources, queue.proxy),
            router=rules.router,
            policies=policies,
            tls_reports=self.tls_reports,
            sign_again=lambda content: keys.sign_again(content, clock.now()),
        )

    async def start(self) -> None:
        """Begin to send; what commands make due goes out at once."""
        await self.runner.start()
        self._unsubscribe = self._subscribe()

    def _heard(self, subject: int, modseq: int) -> None:
        self.runner.wake()

    async def stop(self) -> None:
        """Let what is on its way come to an end, then stop."""
        self._unsubscribe()
        await self.runner.stop()
        await self.flush()
        await self.resolver.close()

    async def _daily(self) -> None:
        if self.tls_reports is not None:
            await self.tls_reports.send()

    async def _often(self) -> None:
        await self.flush()
        await self._db.write(self._reports.tell_stops, self._clock.now())

    async def flush(self) -> None:
        """Write what was counted for TLS reports."""
        if self.tls_reports is not None:
            await self.tls_reports.flush()


def _ours(config: Config) -> Ours:
    """Our addresses: mail for others that would come to them has gone astray (RFC 5321 5.1)."""
    listeners = [(address.host, address.port) for address in config.listeners.smtp.addresses]
    return Ours(listeners, config.server.public_addresses)


def server_itself(config: Config, hostname: str) -> IsUs:
    """Tells whether what stands behind an @ is the server's name, or an address that mail comes to it by."""
    ours = _ours(config)

    def is_us(domain: str) -> bool:
        return ours.names(domain) if domain.startswith("[") else domain.lower() == hostname.lower()

    return is_us


def _route(config: RouteConfig) -> Route:
    password = config.password
    if config.password_file is not None:
        password = config.password_file.read_text("utf-8").partition("\n")[0].strip()
    return Route(
        name=config.name,
        domains=config.domains,
        senders=config.senders,
        hosts=config.hosts,
        port=config.port,
        lmtp=config.protocol == "lmtp",
        tls=config.tls,
        implicit_tls=config.implicit_tls,
        username=config.username,
        password=password,
        sources=config.sources,
        proxy=config.proxy,
        helo=config.helo,
    )
