"""Two processes of one PostgreSQL at the same mail, at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
import pytest
from support.queues import enqueue

from mailwright.queue import model, operations
from mailwright.queue.model import Notice, Rules
from mailwright.queue.operations import Selection
from mailwright.queue.schedule import HOUR, Schedule
from mailwright.store.blobs.database import DatabaseBlobs
from mailwright.store.db.api import Transaction
from mailwright.store.db.postgres import PostgresDatabase

NOW = 1_800_000_000.0
RULES = Rules(schedule=Schedule(jitter=0.0))
WAITS = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def waits(connection: psycopg.AsyncConnection[tuple[int, ...]]) -> None:
    """Until somebody waits for what the connection holds."""
    async with asyncio.timeout(60):
        while not (await (await connection.execute(WAITS)).fetchall()):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("change", [operations.hold, operations.delete, operations.retry])
async def test_what_an_attempt_takes_just_now_is_left_alone(
    postgres_database: str, change: Callable[[Transaction, Selection, float], int]
) -> None:
    db = PostgresDatabase(postgres_database, DatabaseBlobs())
    await db.start()
    await db.write(lambda tx: enqueue(tx, NOW, "bob@b.example", "carol@b.example", rules=RULES))
    async with await psycopg.AsyncConnection.connect(postgres_database) as sender:
        await sender.execute("UPDATE queue_recipients SET owner = 'other' WHERE n = 0")
        changing = asyncio.create_task(db.write(change, Selection(), NOW - 1))
        await waits(sender)
        await sender.commit()
        assert await changing == 1
        rows = await (await sender.execute("SELECT n, held, due_at FROM queue_recipients")).fetchall()
        assert (0, 0, NOW) in rows
    await db.close()


async def test_the_sender_is_told_of_a_delay_by_one_of_them(postgres_database: str) -> None:
    one, other = (PostgresDatabase(postgres_database, DatabaseBlobs()) for _ in range(2))
    await one.start()
    await other.start()
    await one.write(lambda tx: enqueue(tx, NOW, "bob@b.example", rules=RULES))
    told: list[Notice] = []
    waiting, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(_tx: Transaction, notice: Notice, _now: float) -> None:
        told.append(notice)
        loop.call_soon_threadsafe(waiting.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()

    first = asyncio.create_task(one.write(model.sweep, NOW + 4 * HOUR, RULES, slow))
    await waiting.wait()
    second = asyncio.create_task(
        other.write(model.sweep, NOW + 4 * HOUR, RULES, lambda _tx, notice, _now: told.append(notice))
    )
    await asyncio.wait({second}, timeout=1.0)
    go_on.set()
    assert [await first, await second] == [1, 0]
    assert len(told) == 1
    await one.close()
    await other.close()
