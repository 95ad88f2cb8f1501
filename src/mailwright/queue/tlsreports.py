"""How TLS to the world went: counted in the store, and reported daily to the domains that ask (RFC 8460)."""

from __future__ import annotations

import json
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from typing import Final

from mailwright.base.clock import Clock
from mailwright.dns import lookup
from mailwright.dns.api import DNSTemporary, Resolver
from mailwright.mailauth.tlsrpt import record, report, results
from mailwright.mailauth.tlsrpt.results import AppliedPolicy, SessionResult
from mailwright.queue.dsn import Origin
from mailwright.queue.https import HTTPS, HTTPSError
from mailwright.queue.reports import Reports
from mailwright.store.db.api import Database, Transaction

log = logging.getLogger(__name__)

DAY: Final = 86_400
MAX_KINDS: Final = 20_000  # kinds of results between two writes
KEPT_DAYS: Final = 4
_MAX_POLICY: Final = 1200  # characters that are kept of one: PostgreSQL's keys have at most 2,700 octets

Post = Callable[[str, bytes], Awaitable[bool]]


async def post(https: HTTPS, url: str, data: bytes) -> bool:
    """Hand a report over by HTTPS (RFC 8460 5.4); whether it was taken."""
    try:
        kind = {"Content-Type": report.CONTENT_TYPE}
        async with https.request("POST", url, content=data, headers=kind) as response:
            return response.is_success
    except HTTPSError as error:
        log.info("a TLS report was not taken: %s", error)
        return False


class TLSReports:
    """`note` each session, `flush` now and then, `send` once a day."""

    def __init__(
        self,
        db: Database,
        resolver: Resolver,
        clock: Clock,
        origin: Origin,
        reports: Reports,
        post: Post,
    ) -> None:
        self._db = db
        self._resolver = resolver
        self._clock = clock
        self._origin = origin
        self._reports = reports
        self._post = post
        self._counts: Counter[tuple[int, AppliedPolicy, SessionResult | None]] = Counter()

    def note(self, applied: AppliedPolicy, failure: SessionResult | None = None) -> None:
        """A session under a policy; None: it went well."""
        key = (int(self._clock.now() // DAY), applied, None if failure is None else replace(failure, count=1))
        if key in self._counts or len(self._counts) < MAX_KINDS:
            self._counts[key] += 1

    async def flush(self) -> None:
        """Write what was counted."""
        counts, self._counts = self._counts, Counter()
        if counts:
            await self._db.write(keep_counts, counts)

    async def send(self) -> int:
        """Report all days before today; how many reports went out."""
        await self.flush()
        today = int(self._clock.now() // DAY)
        sent = 0
        for day, domain in await self._db.read(unreported, today):
            try:
                texts = await lookup.txt(self._resolver, record.record_name(domain))
            except DNSTemporary:
                continue  # tried again tomorrow
            sent += await self._send(day, domain, record.parse_records(texts.records))
        await self._db.write(forget, today - KEPT_DAYS)
        return sent

    async def _send(self, day: int, domain: str, destinations: tuple[str, ...]) -> int:
        now = self._clock.now()
        if not destinations:
            await self._db.write(mark_reported, day, domain, now)
            return 0
        sessions = await self._db.read(read_results, day, domain)
        number = f"{day}.{secrets.token_hex(6)}"
        made = report.Report(
            organization=self._origin.hostname,
            contact=self._origin.postmaster,
            report_id=f"{number}@{self._origin.hostname}",
            domain=domain,
            submitter=self._origin.hostname,
            start=day * DAY,
            end=(day + 1) * DAY - 1,
            policies=results.summarize(sessions),
        )
        for destination in destinations:
            if destination.startswith("https:") and await self._post(
                destination, report.compress(report.to_json(made))
            ):
                await self._db.write(mark_reported, day, domain, now)
                return 1
        addresses = [text.removeprefix("mailto:") for text in destinations if text.startswith("mailto:")]
        if addresses:
            await self._db.write(self._mail, made, addresses, now)
        return bool(addresses)

    def _mail(self, tx: Transaction, made: report.Report, addresses: list[str], now: float) -> None:
        if not mark_reported(tx, int(made.start // DAY), made.domain, now):
            return  # another process has sent it meanwhile
        content = report.to_mail(
            made, self._origin.postmaster, addresses, int(now), made.report_id, f"=_{secrets.token_hex(12)}"
        )
        for address in addresses:
            self._reports.send(tx, address, content, now, made.report_id)


def keep_counts(tx: Transaction, counts: Counter[tuple[int, AppliedPolicy, SessionResult | None]]) -> None:
    """Add to what the store knows."""
    tx.many(
        "INSERT INTO tls_results (day, domain, policy, failure, sessions) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (day, domain, policy, failure) DO UPDATE SET sessions = tls_results.sessions + excluded.sessions",
        sorted(  # so that no two processes wait for each other
            (
                day,
                policy.domain,
                _to_json(policy),
                "" if failure is None else _failure_to_json(failure),
                count,
            )
            for (day, policy, failure), count in counts.items()
        ),
    )


def unreported(tx: Transaction, today: int) -> list[tuple[int, str]]:
    """Days and domains of which no report was sent."""
    rows = tx.all(
        "SELECT DISTINCT r.day, r.domain FROM tls_results r WHERE r.day < ? AND NOT EXISTS"
        " (SELECT 1 FROM tls_reports s WHERE s.day = r.day AND s.domain = r.domain) ORDER BY r.day, r.domain",
        today,
    )
    return [(int(day), str(domain)) for day, domain in rows]


def read_results(tx: Transaction, day: int, domain: str) -> list[SessionResult]:
    """What was counted."""
    rows = tx.all(
        "SELECT policy, failure, sessions FROM tls_results WHERE day = ? AND domain = ?", day, domain
    )
    found: list[SessionResult] = []
    for policy_text, failure_text, sessions in rows:
        values = json.loads(policy_text)
        policy = AppliedPolicy(
            values["kind"], values["domain"], tuple(values["strings"]), tuple(values["mx_hosts"])
        )
        failure = json.loads(failure_text) if failure_text else {}
        found.append(SessionResult(policy, **failure, count=int(sessions)))
    return found


def mark_reported(tx: Transaction, day: int, domain: str, now: float) -> bool:
    """This day of this domain is done; False: it was before."""
    return bool(
        tx.run(
            "INSERT INTO tls_reports (day, domain, at) VALUES (?, ?, ?) ON CONFLICT (day, domain) DO NOTHING",
            day,
            domain,
            now,
        )
    )


def forget(tx: Transaction, before: int) -> None:
    """Drop what was counted before that day."""
    tx.run("DELETE FROM tls_results WHERE day < ?", before)
    tx.run("DELETE FROM tls_reports WHERE day < ?", before)


def _to_json(policy: AppliedPolicy) -> str:
    text = json.dumps(asdict(policy), sort_keys=True)
    if len(text) > _MAX_POLICY:  # whole certificates, or very many hosts: told of without them
        text = json.dumps(asdict(replace(policy, strings=(), mx_hosts=())), sort_keys=True)
    return text


def _failure_to_json(failure: SessionResult) -> str:
    values = asdict(failure)
    del values["policy"], values["count"]
    return json.dumps(values, sort_keys=True, ensure_ascii=False)
