"""MTA-STS policies: looked up, fetched over HTTPS, and kept until they end (RFC 8461)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from mailwright.base.clock import Clock
from mailwright.dns import lookup
from mailwright.dns.api import DNSTemporary, Resolver
from mailwright.mailauth.mtasts.policy import (
    MAX_SIZE,
    CachedPolicy,
    InvalidPolicy,
    Policy,
    Step,
    parse_policy,
    plan,
    policy_url,
)
from mailwright.mailauth.mtasts.record import parse_records, record_name
from mailwright.mailauth.tlsrpt import results
from mailwright.queue.https import HTTPS, HTTPSError
from mailwright.store.db.api import Database, Transaction

MEMORY: Final = 2000  # domains
RECENT: Final = 300.0  # seconds in which a domain is not looked at again

Fetch = Callable[[str], Awaitable[bytes]]


class FetchError(Exception):
    """The policy file cannot be had; `result` is TLS-RPT's word for it."""

    def __init__(self, result: str, text: str) -> None:
        super().__init__(text)
        self.result = result


@dataclass(frozen=True)
class Found:
    """What holds for a domain now. `failure` tells TLS-RPT why a fresh policy could not be had."""

    policy: Policy | None
    failure: str = ""


async def fetch(https: HTTPS, url: str) -> bytes:
    """Get a policy file as RFC 8461 3.3 says: certificate checked, no redirects, plain text. Raises FetchError."""
    try:
        async with https.request("GET", url) as response:
            if response.status_code != 200:
                raise FetchError(results.STS_POLICY_FETCH_ERROR, f"{url} answered {response.status_code}")
            kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if kind != "text/plain":
                raise FetchError(
                    results.STS_POLICY_FETCH_ERROR, f"{url} is {kind or 'of no type'}, not text/plain"
                )
            data = b""
            async for piece in response.aiter_bytes():
                data += piece
                if len(data) > MAX_SIZE:
                    break
            return data
    except HTTPSError as error:
        result = results.STS_WEBPKI_INVALID if error.is_certificate else results.STS_POLICY_FETCH_ERROR
        raise FetchError(result, str(error)) from error


class Policies:
    """The policies of all domains, with a memory in front of the store."""

    def __init__(self, db: Database, resolver: Resolver, clock: Clock, fetch: Fetch) -> None:
        self._db = db
        self._resolver = resolver
        self._clock = clock
        self._fetch = fetch
        self._known: dict[str, tuple[float, Found]] = {}  # until when it need not be looked at again
        self._running: dict[str, asyncio.Task[Found]] = {}

    async def find(self, domain: str) -> Found:
        """The policy that deliveries to `domain` must obey now. Nothing is raised."""
        known = self._known.get(domain)
        if known is not None and self._clock.now() < known[0]:
            return known[1]
        task = self._running.get(domain)
        if task is None:
            task = self._running[domain] = asyncio.create_task(self._find(domain))
            task.add_done_callback(lambda _: self._running.pop(domain, None))
        return await asyncio.shield(task)

    async def _find(self, domain: str) -> Found:
        now = self._clock.now()
        cached = await self._db.read(read_policy, domain)
        live = cached.policy if cached is not None and cached.is_live(now) else None
        try:
            texts = await lookup.txt(self._resolver, record_name(domain))
            record_id = parse_records(texts.records)
        except DNSTemporary:
            record_id = None
        step = plan(cached, record_id, now)
        found = Found(live)
        if step is Step.FETCH and record_id is not None:
            try:
                text = await self._fetch(policy_url(domain))
                policy = parse_policy(text)
            except FetchError as error:
                found = Found(live, error.result)
            except InvalidPolicy:
                found = Found(live, results.STS_POLICY_INVALID)
            else:
                await self._db.write(keep_policy, domain, record_id, text, policy.max_age, now)
                found = Found(policy)
        while len(self._known) >= MEMORY:
            del self._known[next(iter(self._known))]
        self._known[domain] = (now + RECENT, found)
        return found


def read_policy(tx: Transaction, domain: str) -> CachedPolicy | None:
    """The policy kept for a domain, perhaps too old."""
    row = tx.one("SELECT id, policy, fetched_at FROM mta_sts_policies WHERE domain = ?", domain)
    if row is None:
        return None
    try:
        return CachedPolicy(parse_policy(str(row[1]).encode()), row[0], row[2])
    except InvalidPolicy:
        return None


def keep_policy(tx: Transaction, domain: str, record_id: str, text: bytes, max_age: int, now: float) -> None:
    """Keep a policy, and forget those that ended."""
    tx.run("DELETE FROM mta_sts_policies WHERE expires_at < ?", now)
    tx.run(
        "INSERT INTO mta_sts_policies (domain, id, policy, fetched_at, expires_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (domain) DO UPDATE SET id = excluded.id, policy = excluded.policy,"
        " fetched_at = excluded.fetched_at, expires_at = excluded.expires_at",
        domain,
        record_id,
        text.decode("utf-8", "replace").replace("\0", ""),
        now,
        now + max_age,
    )
