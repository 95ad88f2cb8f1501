"""What the configuration says about outbound mail, as the queue wants it; for `app` and `mailwright queue`."""

from __future__ import annotations

from pathlib import Path

from mailwright.config import Config
from mailwright.config import Route as RouteConfig
from mailwright.delivery.local import deliver
from mailwright.directory.errors import DirectoryError, NotFound
from mailwright.directory.resolve import resolve
from mailwright.message.parser import parse_message
from mailwright.queue import planner
from mailwright.queue.dsn import Origin
from mailwright.queue.limits import BreakerLimits, SendingLimits
from mailwright.queue.model import Rules
from mailwright.queue.reports import KeepLocal, Reports, Sign
from mailwright.queue.routes import DIRECT, Route, Router
from mailwright.queue.schedule import Schedule
from mailwright.store.db.api import Transaction
from mailwright.store.incoming import describe


def queue_rules(config: Config) -> Rules:
    """When mail is tried again, when an account is stopped, which way mail goes. Raises OSError for a password file."""
    queue = config.queue
    schedule = Schedule(queue.retries, queue.jitter, queue.warning_after, queue.expire_after)
    breaker = BreakerLimits(
        strangers_per_hour=queue.strangers_per_hour, failures_per_hour=queue.failures_per_hour
    )
    return Rules(schedule, breaker, queue_router(config))


def queue_router(config: Config) -> Router:
    """The routes, the last of them for what no other fits. Raises OSError for a password file."""
    direct = Route(DIRECT, sources=config.queue.sources, proxy=config.queue.proxy)
    return Router((*(_route(route, config) for route in config.queue.routes), direct))


def queue_limits(config: Config) -> planner.Limits:
    """How much is sent at the same time."""
    queue = config.queue
    return planner.Limits(
        connections=queue.connections,
        per_destination=queue.connections_per_destination,
        per_account=queue.messages_per_account,
    )


def sending_limits(config: Config) -> SendingLimits:
    """How much an account may send."""
    queue = config.queue
    return SendingLimits(
        queue.messages_per_hour, queue.messages_per_day, queue.recipients_per_hour, queue.recipients_per_day
    )


def queue_reports(config: Config, hostname: str, rules: Rules, sign: Sign | None = None) -> Reports:
    """What makes the reports to senders."""
    origin = Origin(hostname, config.server.postmaster or f"postmaster@{hostname}")
    return Reports(rules, origin, keep_local(config.delivery.separator, rules), sign)


def keep_local(separator: str, rules: Rules) -> KeepLocal:
    """Puts a message of the mail system itself into the mailboxes of an address of ours."""

    def keep(tx: Transaction, address: str, content: bytes, now: float) -> bool:
        try:
            found = resolve(tx, address, separator)
        except (DirectoryError, NotFound):
            return False
        if not found.accounts:
            return False
        blob = tx.blobs.prepare((content,), len(content), _no_upload)
        message = describe(parse_message(content), blob)
        deliver(tx, message, found.accounts, (), rules, now=now, enforce_quota=False)
        return True

    return keep


def _route(route: RouteConfig, config: Config) -> Route:
    return Route(
        name=route.name,
        domains=route.domains,
        senders=route.senders,
        hosts=route.hosts,
        port=route.port,
        lmtp=route.protocol == "lmtp",
        tls=route.tls,
        implicit_tls=route.implicit_tls,
        username=route.username,
        password=route.password or _password(route.password_file),
        sources=route.sources or config.queue.sources,
        proxy=route.proxy or config.queue.proxy,
        helo=route.helo,
    )


def _password(file: Path | None) -> str:
    return file.read_text("utf-8").partition("\n")[0].strip() if file is not None else ""


def _no_upload(*_: object) -> object:
    raise AssertionError("reports are smaller than a chunk")
