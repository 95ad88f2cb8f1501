"""MTA-STS policies as they come and go, and the daily TLS reports."""

from __future__ import annotations

import asyncio
import email
import gzip
import json
import os
from collections import Counter

from support.simulation import InlineDatabase

from mailwright.base.clock import ManualClock
from mailwright.dns.mock import MockResolver
from mailwright.mailauth.tlsrpt.results import AppliedPolicy, SessionResult
from mailwright.queue import dsn
from mailwright.queue.model import Rules
from mailwright.queue.reports import Reports
from mailwright.queue.sts import FetchError, Policies
from mailwright.queue.tlsreports import TLSReports, keep_counts, read_results
from mailwright.store.db.api import Database, Transaction

ENFORCE = b"version: STSv1\r\nmode: enforce\r\nmx: *.b.example\r\nmax_age: 604800\r\n"
TESTING = ENFORCE.replace(b"enforce", b"testing")
DAY = 86_400


class Web:
    def __init__(self, content: bytes | None) -> None:
        self.content = content
        self.urls: list[str] = []

    async def fetch(self, url: str) -> bytes:
        self.urls.append(url)
        if self.content is None:
            raise FetchError("sts-policy-fetch-error", "404")
        return self.content


class Place:
    def __init__(self, content: bytes | None, record: bytes | None = b"v=STSv1; id=1") -> None:
        self.db, self.clock, self.web = InlineDatabase(), ManualClock(), Web(content)
        self.resolver = MockResolver({"b.example": {"MX": ["10 mx.b.example"]}})
        if record is not None:
            self.resolver.add("_mta-sts.b.example", "TXT", record)
        self.restart()

    def restart(self) -> None:
        self.policies = Policies(self.db, self.resolver, self.clock, self.web.fetch)  # type: ignore[arg-type]

    async def mode(self) -> str | None:
        policy = (await self.policies.find("b.example")).policy
        return policy.mode if policy is not None else None


async def test_a_policy_is_fetched_once_and_kept_over_a_restart() -> None:
    place = Place(ENFORCE)
    assert await place.mode() == "enforce"
    assert await place.mode() == "enforce"
    place.restart()
    assert await place.mode() == "enforce"
    assert place.web.urls == ["https://mta-sts.b.example/.well-known/mta-sts.txt"]


async def test_without_a_record_nothing_is_fetched() -> None:
    place = Place(ENFORCE, record=None)
    assert await place.mode() is None
    assert not place.web.urls


async def test_a_kept_policy_holds_though_record_and_file_are_gone_until_it_ends() -> None:
    place = Place(ENFORCE)
    await place.mode()
    place.web.content = None
    place.resolver.remove("_mta-sts.b.example", "TXT")
    place.clock.advance(3 * DAY)
    assert await place.mode() == "enforce"
    place.clock.advance(5 * DAY)
    assert await place.mode() is None


async def test_a_new_id_brings_a_new_policy() -> None:
    place = Place(ENFORCE)
    await place.mode()
    place.web.content = TESTING
    place.clock.advance(3600)
    assert await place.mode() == "enforce"
    place.resolver.remove("_mta-sts.b.example", "TXT")
    place.resolver.add("_mta-sts.b.example", "TXT", b"v=STSv1; id=2")
    place.clock.advance(3600)
    assert await place.mode() == "testing"


async def test_a_file_that_cannot_be_had_or_is_wrong_is_told() -> None:
    place = Place(None)
    found = await place.policies.find("b.example")
    assert (found.policy, found.failure) == (None, "sts-policy-fetch-error")
    place = Place(b"what is this")
    assert (await place.policies.find("b.example")).failure == "sts-policy-invalid"


class Reporting:
    def __init__(self, record: bytes | None) -> None:
        self.db, self.clock = InlineDatabase(), ManualClock(1_800_000_000.0)
        self.mails: list[tuple[str, bytes]] = []
        self.posted: list[tuple[str, bytes]] = []
        self.accepts = True
        resolver = MockResolver({"b.example": {"TXT": ["x"]}})
        if record is not None:
            resolver.add("_smtp._tls.b.example", "TXT", record)
        origin = dsn.Origin("mx.us.example", "postmaster@us.example")
        self.tls = TLSReports(
            self.db,  # type: ignore[arg-type]
            resolver,
            self.clock,
            origin,
            Reports(Rules(), origin, self.keep),
            self.post,
        )

    def keep(self, tx: Transaction, address: str, content: bytes, now: float) -> tuple[str, ...]:
        self.mails.append((address, content))
        return ()

    async def post(self, url: str, data: bytes) -> bool:
        await asyncio.sleep(0.01)
        self.posted.append((url, data))
        return self.accepts

    def note_some(self) -> None:
        policy = AppliedPolicy("sts", "b.example", ("version: STSv1",), ("*.b.example",))
        for _ in range(5):
            self.tls.note(policy)
        failure = SessionResult(
            policy, "certificate-expired", receiving_host="mx.b.example", reason="expired"
        )
        for _ in range(2):
            self.tls.note(policy, failure)


async def test_a_daily_report_by_mail() -> None:
    place = Reporting(b"v=TLSRPTv1; rua=mailto:tls@b.example")
    place.note_some()
    assert await place.tls.send() == 0, "the day is not over"
    place.note_some()
    place.clock.advance(DAY)
    assert await place.tls.send() == 1
    assert await place.tls.send() == 0, "once"
    ((address, content),) = place.mails
    assert address == "tls@b.example"
    parsed = email.message_from_bytes(content)
    attached = parsed.get_payload(1).get_payload(decode=True)  # type: ignore[union-attr]
    made = json.loads(gzip.decompress(attached))  # type: ignore[arg-type]
    (policy,) = made["policies"]
    assert policy["summary"] == {"total-successful-session-count": 10, "total-failure-session-count": 4}
    assert policy["failure-details"][0]["result-type"] == "certificate-expired"


async def test_a_report_by_https_and_by_mail_when_that_fails() -> None:
    place = Reporting(b"v=TLSRPTv1; rua=https://report.b.example/tls,mailto:tls@b.example")
    place.note_some()
    place.clock.advance(DAY)
    assert await place.tls.send() == 1
    assert place.posted[0][0] == "https://report.b.example/tls"
    assert not place.mails
    place.accepts = False
    place.note_some()
    place.clock.advance(DAY)
    assert await place.tls.send() == 1
    assert len(place.mails) == 1


async def test_two_processes_mail_a_report_once() -> None:
    place = Reporting(b"v=TLSRPTv1; rua=https://report.b.example/tls,mailto:tls@b.example")
    place.note_some()
    await place.tls.flush()
    place.accepts = False
    place.clock.advance(DAY)
    await asyncio.gather(place.tls.send(), place.tls.send())
    assert len(place.posted) == 2, "both were at it"
    assert len(place.mails) == 1


async def test_who_does_not_ask_gets_nothing_and_old_counts_go() -> None:
    place = Reporting(None)
    place.note_some()
    place.clock.advance(DAY)
    assert await place.tls.send() == 0
    place.clock.advance(10 * DAY)
    await place.tls.send()
    assert place.db.tx.one("SELECT COUNT(*) FROM tls_results") == (0,)


async def test_a_policy_with_whole_certificates_is_counted(db: Database) -> None:
    strings = tuple(f"3 0 0 {os.urandom(1500).hex()}" for _ in range(3))
    policy = AppliedPolicy("tlsa", "b.example", strings, ("mx.b.example",))
    failure = SessionResult(policy, "validation-failure", "m" * 253, "2001:db8::1", reason="\u4e16" * 200)
    for _ in range(2):
        await db.write(keep_counts, Counter({(1, policy, None): 2, (1, policy, failure): 1}))
    told = await db.read(read_results, 1, "b.example")
    assert sorted((found.policy.kind, found.result, found.count) for found in told) == [
        ("tlsa", "", 4),
        ("tlsa", "validation-failure", 2),
    ]
