"""What becomes of mail that a process on PostgreSQL had claimed: when it is killed, and when only its line is cut."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from unittest.mock import ANY

import psycopg
import pytest
from support.peer import Peer
from support.queues import enqueue

from mailwright.base.clock import SystemClock
from mailwright.dns.mock import MockResolver
from mailwright.queue import model
from mailwright.queue.attempt import SMTPTransport
from mailwright.queue.hosts import HostFinder
from mailwright.queue.limits import BreakerLimits
from mailwright.queue.model import Rules
from mailwright.queue.opening import Settings
from mailwright.queue.runner import Runner
from mailwright.store.blobs.database import DatabaseBlobs
from mailwright.store.db.api import Transaction
from mailwright.store.db.postgres import LoneConnection, PostgresDatabase, connect_alone
from mailwright.store.db.presence import PostgresPresence

CLOCK = SystemClock()
RULES = Rules(breaker=BreakerLimits(0, 0, 0, 0))
# It claims what there is, tells its name and goes on living.
CLAIMANT = """
import asyncio, sys
from mailwright.base.clock import SystemClock
from mailwright.queue import lanes, model
from mailwright.queue.planner import Claim
from mailwright.store.blobs.database import DatabaseBlobs
from mailwright.store.db.api import Transaction
from mailwright.store.db.postgres import PostgresDatabase
from mailwright.store.db.presence import PostgresPresence

async def main():
    now = SystemClock().now()
    db, presence = PostgresDatabase(sys.argv[1], DatabaseBlobs()), PostgresPresence(sys.argv[1])
    await db.start()
    taken = asyncio.Event()
    await presence.start(taken.set)
    await taken.wait()
    due = await db.read(lanes.due_lanes, now, [], [])
    await db.write(model.claim, presence.name, [Claim(lane, 9) for lane in due], now, 900.0)
    print(presence.name, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""
SESSIONS = (
    "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'mailwright presence'"
)


@pytest.fixture
async def db(postgres_database: str) -> AsyncIterator[PostgresDatabase]:
    database = PostgresDatabase(postgres_database, DatabaseBlobs())
    await database.start()
    yield database
    await database.close()


async def put(db: PostgresDatabase, *addresses: str) -> None:
    await db.write(lambda tx: [enqueue(tx, CLOCK.now(), address, rules=RULES) for address in addresses])


@asynccontextmanager
async def running(
    db: PostgresDatabase, peer: Peer, presence: PostgresPresence, *, sweeps: bool = True
) -> AsyncIterator[Runner]:
    resolver = MockResolver({"b.example": {"MX": ["10 mx.b.example"]}, "mx.b.example": {"A": ["127.0.0.1"]}})
    transport = SMTPTransport(db, HostFinder(resolver), CLOCK, Settings("mx.us.example", peer.port))
    runner = Runner(db, transport, CLOCK, rules=RULES, presence=presence)
    await runner.start()
    if sweeps:
        runner._swept_at = 0.0
    try:
        yield runner
    finally:
        await runner.stop(timeout=2.0)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def until_gone(db: PostgresDatabase, name: str, presence: PostgresPresence) -> None:
    """The server sees that the connection has ended, and gives the lock up."""
    async with asyncio.timeout(60):
        while await db.read(presence.gone) != [name]:
            await asyncio.sleep(0.01)


async def test_what_a_killed_process_had_claimed_is_taken_by_another(
    db: PostgresDatabase, postgres_database: str
) -> None:
    await put(db, "bob@b.example", "carol@b.example")
    other = subprocess.Popen(
        [sys.executable, "-c", CLAIMANT, postgres_database],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert other.stdout is not None
        name = (await asyncio.to_thread(other.stdout.readline)).strip()
        presence = PostgresPresence(postgres_database, absent=0.0)
        assert await db.read(presence.gone) == []
        assert await db.write(model.end_leases_of, name, presence, CLOCK.now()) == 0
        other.kill()
        other.wait()
        await until_gone(db, name, PostgresPresence(postgres_database, absent=0.0))
        assert await db.read(PostgresPresence(postgres_database, absent=1.0).gone) == []
        async with Peer() as peer, running(db, peer, presence):
            await until(lambda: len(peer.taken) == 2)
        assert await db.read(lambda tx: tx.all("SELECT * FROM presences")) == [(presence.name, ANY)]
    finally:
        other.kill()
        other.wait()


async def test_a_lock_that_was_held_on_another_server_is_not_missed(
    db: PostgresDatabase, postgres_database: str
) -> None:
    await put(db, "bob@b.example")
    presence = PostgresPresence(postgres_database, absent=0.0)
    lost = PostgresPresence(postgres_database)

    def claim(tx: Transaction) -> None:
        tx.run("INSERT INTO presences (name, server) VALUES (?, '1.000000')", lost.name)
        tx.run("UPDATE queue_recipients SET owner = ?, due_at = ?", lost.name, CLOCK.now() + 900)

    await db.write(claim)
    assert await db.read(presence.gone) == [lost.name]
    assert await db.write(model.end_leases_of, lost.name, presence, CLOCK.now()) == 0
    assert await db.read(presence.gone) == []
    assert await db.read(lambda tx: tx.all("SELECT owner FROM queue_recipients")) == [(lost.name,)]


async def test_who_is_held_for_dead_sends_nothing_until_it_knows_what_it_still_has(
    db: PostgresDatabase, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_come_back = asyncio.Event()
    may_come_back.set()

    async def connect(dsn: str, name: str) -> LoneConnection:
        await may_come_back.wait()
        return await connect_alone(dsn, name)

    monkeypatch.setattr("mailwright.store.db.presence.connect_alone", connect)
    presence = PostgresPresence(postgres_database)
    other = PostgresPresence(postgres_database, absent=0.0)
    async with (
        Peer() as peer,
        running(db, peer, presence, sweeps=False) as runner,
        await psycopg.AsyncConnection.connect(postgres_database, autocommit=True) as connection,
    ):
        await put(db, "one@b.example")
        runner.wake()
        await until(lambda: len(peer.taken) == 1)
        first = presence.session
        may_come_back.clear()
        await connection.execute(f"SELECT pg_terminate_backend(pid, 60000) {SESSIONS}".encode())
        async with connection.transaction():  # it comes back, but is kept waiting
            assert await db.read(other.gone) == [presence.name]
            key = int.from_bytes(bytes.fromhex(presence.name), signed=True)
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (key,))
            may_come_back.set()
            await until(lambda: not presence.session)
            await put(db, "two@b.example")
            runner.wake()
            await asyncio.sleep(1.5)
            assert len(peer.taken) == 1
        await until(lambda: len(peer.taken) == 2)
        assert presence.session > first
        assert await db.read(other.gone) == []


async def test_a_cut_line_has_nothing_sent_twice(db: PostgresDatabase, postgres_database: str) -> None:
    presence = PostgresPresence(postgres_database)
    async with Peer() as peer, running(db, peer, presence) as runner:
        await put(db, *(f"u{n}@b.example" for n in range(200)))
        runner.wake()
        await until(lambda: len(peer.taken) > 20)
        async with await psycopg.AsyncConnection.connect(postgres_database, autocommit=True) as connection:
            await connection.execute(f"SELECT pg_terminate_backend(pid) {SESSIONS}".encode())
        await until(lambda: len(peer.taken) == 200)
        assert len({taken.recipients[0] for taken in peer.taken}) == 200
