"""Two processes of one PostgreSQL at the same mail, at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
import pytest
from support.accounts import new_account
from support.meetings import Held, meet, processes, waits
from support.queues import enqueue

from mailwright.queue import lanes, model, operations, usage
from mailwright.queue.model import Finding, Notice, Rules
from mailwright.queue.operations import Selection
from mailwright.queue.planner import FRESH, Claim, Lane
from mailwright.queue.schedule import HOUR, Schedule
from mailwright.queue.values import Outcome, Result
from mailwright.store import changes
from mailwright.store.blobs.database import DatabaseBlobs
from mailwright.store.db.api import Transaction
from mailwright.store.db.postgres import PostgresDatabase

NOW = 1_800_000_000.0
RULES = Rules(schedule=Schedule(jitter=0.0))
BAD = Result(Outcome.FAILED, "rcpt", "5.1.1", "No such user", 550)


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


async def test_who_lets_a_destination_rest_waits_in_no_circle_with_who_queues_for_it(
    postgres_database: str,
) -> None:
    db = PostgresDatabase(postgres_database, DatabaseBlobs())
    await db.start()
    await db.write(lambda tx: enqueue(tx, NOW, "bob@b.example", account=5, rules=RULES))
    async with await psycopg.AsyncConnection.connect(postgres_database) as sender:
        lock = "SELECT 1 FROM queue_lanes WHERE account = 5 AND destination = %s FOR UPDATE NOWAIT"
        await sender.execute(lock, ("*",))
        resting = asyncio.create_task(db.write(lanes.rest, "b.example", NOW + 60))
        await waits(sender)
        await sender.execute(lock, ("b.example",))
        await sender.commit()
        await resting
    assert await db.read(lanes.next_due) == NOW + 60
    await db.close()


async def test_what_an_account_sends_while_it_is_stopped_is_held(postgres_database: str) -> None:
    async with processes(postgres_database) as (one, other):

        def send(tx: Transaction, to: str) -> None:
            enqueue(tx, NOW, to, account=5, rules=RULES)

        def send_too_much(tx: Transaction) -> None:
            send(tx, "bob@b.example")
            usage.stop_account(tx, 5, NOW, "more than ever")

        held = Held(send_too_much)
        await meet(held, one.write(held), other.write(send, "carol@c.example"))
        assert await one.read(lambda tx: tx.all("SELECT held FROM queue_recipients")) == [(1,), (1,)]


async def test_who_is_told_of_a_failure_waits_in_no_circle_with_who_sends(postgres_database: str) -> None:
    db = PostgresDatabase(postgres_database, DatabaseBlobs())
    await db.start()
    account = await db.write(new_account, "alice@us.example")

    def tell(tx: Transaction, _notice: Notice, _now: float) -> None:
        changes.hold(tx, account)

    await db.write(lambda tx: enqueue(tx, NOW, "bob@b.example", account=account, rules=RULES))
    (item,) = await db.write(model.claim, "owner", [Claim(Lane(FRESH, account, "b.example"), 1)], NOW, 900.0)
    finding = Finding(item.lane, item.message, NOW, ((item.recipients[0], BAD, None),), {})
    async with await psycopg.AsyncConnection.connect(postgres_database) as sender:
        await sender.execute("SELECT 1 FROM account_state FOR UPDATE")
        telling = asyncio.create_task(db.write(model.record, "owner", [finding], RULES, tell))
        await waits(sender)
        await sender.execute("SELECT 1 FROM queue_counters FOR UPDATE NOWAIT")
        await sender.commit()
        await telling
    await db.close()


async def test_the_sender_is_told_of_a_delay_by_one_of_them(postgres_database: str) -> None:
    async with processes(postgres_database) as (one, other):
        await one.write(lambda tx: enqueue(tx, NOW, "bob@b.example", rules=RULES))
        told: list[Notice] = []

        def report(_tx: Transaction, notice: Notice, _now: float) -> None:
            told.append(notice)

        held = Held(report)
        first = one.write(model.sweep, NOW + 4 * HOUR, RULES, held)
        second = other.write(model.sweep, NOW + 4 * HOUR, RULES, report)
        assert await meet(held, first, second) == (1, 0)
        assert len(told) == 1


async def test_a_message_whose_last_recipients_end_at_the_same_time_is_gone(postgres_database: str) -> None:
    async with processes(postgres_database) as (one, other):
        await one.write(lambda tx: enqueue(tx, NOW, "bob@b.example", "carol@c.example", rules=RULES))
        claims = [Claim(Lane(FRESH, 0, destination), 1) for destination in ("b.example", "c.example")]
        findings = [
            Finding(item.lane, item.message, NOW, ((item.recipients[0], BAD, None),), {"results": []})
            for item in await one.write(model.claim, "owner", claims, NOW, 900.0)
        ]
        held = Held(lambda _tx, _notice, _now: None)
        first = one.write(model.record, "owner", findings[:1], RULES, held)
        await meet(held, first, other.write(model.record, "owner", findings[1:], RULES))
        assert await one.read(operations.size) == (0, 0)
