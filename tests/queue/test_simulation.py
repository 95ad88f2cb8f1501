"""Weeks of a mail server in seconds: the real runner, planner and store against thousands of scripted destinations."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest
from support.queues import enqueue
from support.simulation import START, InlineDatabase, Peer, VirtualClock, World, new_runner, run

from mailwright.queue import dsn
from mailwright.queue.limits import BreakerLimits
from mailwright.queue.model import Notice, Rules
from mailwright.queue.planner import Limits
from mailwright.queue.reports import Reports
from mailwright.queue.runner import LEASE, Runner
from mailwright.queue.schedule import DAY, HOUR
from mailwright.queue.values import Outcome
from mailwright.store.db import postgres
from mailwright.store.db.api import Transaction
from mailwright.store.errors import StoreFailed

T = TypeVar("T")

RULES = Rules(breaker=BreakerLimits(strangers_per_hour=0, failures_per_hour=0))
LIMITS = Limits(connections=60, per_destination=8, per_account=20, ready=600)


class Ledger:
    """Notes each end that is told, then makes the real reports; local senders keep theirs."""

    def __init__(self) -> None:
        self.ends: Counter[tuple[int, str]] = Counter()
        self.outcomes: dict[tuple[int, str], Outcome] = {}
        self.delayed: Counter[tuple[int, str]] = Counter()
        self.bounced: Counter[str] = Counter()
        self.reports = Reports(RULES, dsn.Origin("mx.us.example", "postmaster@us.example"), self.keep)

    def keep(self, tx: Transaction, address: str, content: bytes, now: float) -> tuple[str, ...]:
        assert b"multipart/report" in content
        self.bounced[address] += b"Action: failed" in content
        return ()

    def __call__(self, tx: Transaction, notice: Notice, now: float) -> None:
        for recipient, result in notice.results:
            key = notice.message.id, recipient.address
            if result.outcome is Outcome.DEFERRED:
                self.delayed[key] += 1
            else:
                self.ends[key] += 1
                self.outcomes[key] = result.outcome
        self.reports(tx, notice, now)


def make_world(seed: int, destinations: int) -> World:
    world = World(seed)
    chance = world.random
    for n in range(destinations):
        peer = world.peer(f"d{n}.example")
        kind = chance.random()
        if kind < 0.05:
            peer.dead = (0.0, 30 * DAY)
        elif kind < 0.15:
            began = chance.uniform(0, DAY)
            peer.dead = (began, began + chance.uniform(0.1, 3.0) * DAY)
        elif kind < 0.20:
            peer.seconds = 200.0
        elif kind < 0.30:
            peer.greylist = 240.0
        elif kind < 0.35:
            peer.fail = True
        elif kind < 0.45:
            peer.refuse_share = 0.3
        elif kind < 0.50:
            peer.lost_share = 0.2
    return world


def fill(db: InlineDatabase, world: World, count: int, destinations: int, now: float) -> set[tuple[int, str]]:
    queued: set[tuple[int, str]] = set()
    for _ in range(count):
        addresses = {
            f"u{world.random.randrange(50)}@d{int(world.random.paretovariate(0.7)) % destinations}.example"
            for _ in range(world.random.choice((1, 1, 1, 2, 5)))
        }
        account = world.random.randrange(0, 12)
        sender = f"a{account}@us.example"
        number = db.now(enqueue, now, *sorted(addresses), account=account, sender=sender, rules=RULES)
        queued |= {(number, address) for address in addresses}
    return queued


@pytest.mark.parametrize(("seed", "destinations", "messages"), [(1, 2000, 110), (2, 300, 50), (3, 20, 50)])
def test_every_recipient_ends_once_and_nothing_is_sent_again_after_its_final_reply(
    seed: int, destinations: int, messages: int
) -> None:
    world, db, ledger = make_world(seed, destinations), InlineDatabase(), Ledger()

    async def main() -> set[tuple[int, str]]:
        runner = new_runner(db, world, RULES, LIMITS, ledger)
        queued: set[tuple[int, str]] = set()
        await runner.start()
        for _ in range(8):  # new mail comes in for a third of a day
            queued |= fill(db, world, messages, destinations, START + asyncio.get_running_loop().time())
            runner.wake()
            await asyncio.sleep(HOUR)
        await asyncio.sleep(6 * DAY)
        assert runner.is_idle
        await runner.stop()
        return queued

    queued = run(main)
    assert db.tx.one("SELECT COUNT(*) FROM queue_recipients") == (0,)
    assert db.tx.one("SELECT COUNT(*) FROM queue_messages") == (0,)
    assert db.tx.one("SELECT COUNT(*) FROM blobs") == (0,)
    assert world.again == []
    assert set(ledger.ends) == queued
    assert max(ledger.ends.values()) == 1
    for key in queued:
        if ledger.outcomes[key] is Outcome.SENT:
            assert world.taken[key] == 1 + world.lost[key], "doubles come only from replies that were lost"
        else:
            assert world.taken[key] == world.lost[key]
    failed = sum(outcome is Outcome.FAILED for outcome in ledger.outcomes.values())
    assert 0 < failed < len(queued) / 3
    assert sum(ledger.bounced.values()) > 0
    assert max(ledger.delayed.values()) == 1, "warned once"
    for name, peer in world.peers.items():
        assert peer.most <= LIMITS.per_destination, name
        assert peer.open == 0
    assert all(most <= LIMITS.per_account for account, most in world.most_of_account.items() if account)


def test_a_crash_at_any_moment_loses_nothing() -> None:
    seed = 7
    world, db, ledger = make_world(seed, 150), InlineDatabase(), Ledger()
    chance = random.Random(seed)
    broken: list[set[tuple[int, str]]] = []

    async def main() -> set[tuple[int, str]]:
        queued = fill(db, world, 300, 150, START)
        for _ in range(20):
            runner = new_runner(db, world, RULES, LIMITS, ledger)
            await runner.start()
            await asyncio.sleep(chance.uniform(0.2, 60))
            # The process dies: its tasks vanish in the midst of things, what was not recorded is forgotten.
            unrecorded = {
                (f.message.id, r.address) for f in runner._recorder.findings for r, _, _ in f.results
            }
            broken.append(unrecorded)
            for task in [*runner._couriers.tasks, *runner._tasks]:
                task.cancel()
            await asyncio.gather(*runner._couriers.tasks, *runner._tasks, return_exceptions=True)
            for key in unrecorded:  # the final reply was not recorded: a second try is allowed
                world.replied[key] = 0
        runner = new_runner(db, world, RULES, LIMITS, ledger)
        await runner.start()
        await asyncio.sleep(7 * DAY)
        await runner.stop()
        return queued

    queued = run(main)
    assert db.tx.one("SELECT COUNT(*) FROM queue_recipients") == (0,)
    assert world.again == []
    assert set(ledger.ends) == queued
    assert max(ledger.ends.values()) == 1
    again = Counter(key for unrecorded in broken for key in unrecorded)
    for key in queued:
        if ledger.outcomes[key] is Outcome.SENT:
            assert 1 <= world.taken[key] <= 1 + world.lost[key] + again[key]


def test_one_accounts_flood_and_dead_destinations_do_not_delay_another_account() -> None:
    world, db = World(5), InlineDatabase()
    for n in range(300):
        world.peers[f"dead{n}.example"] = Peer(dead=(0.0, 30 * DAY))
    for n in range(20):
        world.peers[f"slow{n}.example"] = Peer(seconds=300.0)

    async def main() -> tuple[float, float]:
        for n in range(6000):
            target = f"dead{n % 300}" if n % 3 == 0 else f"slow{n % 20}" if n % 3 == 1 else f"ok{n}"
            db.now(enqueue, START, f"x{n}@{target}.example", account=1, rules=RULES)
        runner = new_runner(db, world, RULES, LIMITS)
        await runner.start()
        await asyncio.sleep(120.0)
        now = asyncio.get_running_loop().time()
        numbers = [
            db.now(enqueue, START + now, f"bob@quick{n}.example", account=2, rules=RULES) for n in range(10)
        ]
        runner.wake()
        await asyncio.sleep(60.0)
        delays = [world.latency.get(number, now + 999.0) - now for number in numbers]
        await runner.stop(timeout=1.0)
        return max(delays), min(delays)

    slowest, _ = run(main)
    assert slowest < 5.0


def test_fresh_mail_passes_a_crowd_of_deferred_recipients() -> None:
    world, db = World(6), InlineDatabase()

    async def main() -> float:
        rows = [(1_000_000 + n, n % 500) for n in range(20_000)]
        db.now(deferred_backlog, rows)
        runner = new_runner(db, world, RULES, LIMITS)
        await runner.start()
        await asyncio.sleep(1.0)
        now = asyncio.get_running_loop().time()
        number = db.now(enqueue, START + now, "bob@quick.example", account=2, rules=RULES)
        runner.wake()
        await asyncio.sleep(30.0)
        await runner.stop(timeout=1.0)
        return world.latency.get(number, 9e9) - now

    world.peers |= {f"old{n}.example": Peer(dead=(0.0, 30 * DAY)) for n in range(500)}
    assert run(main) < 3.0


def slow_world() -> World:
    """Peers that take longer for a message than a lease lasts."""
    world = World(8)
    for n in range(4):
        world.peers[f"d{n}.example"] = Peer(seconds=LEASE * 1.5)
    return world


def test_chores_that_take_long_let_no_lease_end() -> None:
    world, db = slow_world(), InlineDatabase()

    async def chores() -> None:
        await asyncio.sleep(3 * HOUR)

    async def main() -> None:
        fill(db, world, 40, 4, START)
        runner = new_runner(db, world, RULES, LIMITS, often=chores, daily=chores)
        await runner.start()
        await asyncio.sleep(DAY)
        await runner.stop()

    run(main)
    assert db.tx.one("SELECT COUNT(*) FROM queue_recipients") == (0,)
    assert world.again == []
    assert set(world.taken.values()) == {1}


def test_what_is_due_daily_waits_until_the_night_is_over() -> None:
    """At midnight all the world sends its reports, and other processes have not told what they counted."""
    clock = VirtualClock()
    times: list[float] = []

    async def daily() -> None:
        times.append(clock.now())

    async def main() -> None:
        runner = new_runner(InlineDatabase(), World(1), RULES, LIMITS, clock=clock, daily=daily)
        await runner.start()
        await asyncio.sleep(2.5 * DAY)
        await runner.stop()

    run(main)
    started, *nights = times
    assert started - START < HOUR
    assert [int(at % DAY // HOUR) for at in nights] == [4, 4]


# To four destinations, until a process has noticed that it is cut off.
ON_ITS_WAY = 2 * 4 * LIMITS.per_destination


class Reach:
    """One process's way to a store that others use too; while it is `cut`, nothing gets there."""

    dialect = postgres.DIALECT

    def __init__(self, db: InlineDatabase) -> None:
        self.db = db
        self.cut = False

    async def write(self, operation: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        await self._go()
        return await self.db.write(operation, *args, **kwargs)

    async def read(self, operation: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        await self._go()
        return await self.db.read(operation, *args, **kwargs)

    async def _go(self) -> None:
        if self.cut:
            await asyncio.sleep(10.0)  # as long as a connection is waited for
            raise StoreFailed("the database server does not answer")


class Pair:
    """Two runners on one store that are busy, `main` in their midst, and a day for the rest."""

    def __init__(self) -> None:
        self.world, self.db = World(9), InlineDatabase()
        self.reaches = [Reach(self.db), Reach(self.db)]
        for n in range(4):
            self.world.peers[f"d{n}.example"] = Peer(seconds=20.0)
        self.queued = 0

    async def main(self, outage: Callable[[list[Runner]], Coroutine[Any, Any, None]]) -> None:
        runners = [new_runner(reach, self.world, RULES, LIMITS) for reach in self.reaches]
        for runner in runners:
            await runner.start()
        self.queued = len(fill(self.db, self.world, 1000, 4, START))
        for runner in runners:
            runner.wake()
        await asyncio.sleep(100.0)
        assert 0 < len(self.world.taken) < self.queued // 2
        await outage(runners)
        await asyncio.sleep(DAY)
        for runner in runners:
            await runner.stop()

    def sent_twice(self) -> int:
        assert self.db.tx.one("SELECT COUNT(*) FROM queue_recipients") == (0,)
        assert len(self.world.taken) == self.queued
        return sum(self.world.taken.values()) - self.queued


@pytest.mark.parametrize("seconds", [60.0, 11 * 60.0, 20 * 60.0, 3 * HOUR])
def test_a_store_that_nobody_reaches_for_a_while_has_nothing_sent_twice(seconds: float) -> None:
    pair = Pair()

    async def outage(runners: list[Runner]) -> None:
        for reach in pair.reaches:
            reach.cut = True
        await asyncio.sleep(seconds)
        for reach in pair.reaches:
            reach.cut = False

    run(lambda: pair.main(outage))
    assert pair.sent_twice() == 0


def test_who_is_started_again_meanwhile_sends_twice_only_what_was_on_its_way() -> None:
    pair = Pair()

    async def outage(runners: list[Runner]) -> None:
        for reach in pair.reaches:
            reach.cut = True
        await asyncio.sleep(20 * 60.0)
        await runners[0].stop()
        for reach in pair.reaches:
            reach.cut = False
        runners[0] = new_runner(pair.reaches[0], pair.world, RULES, LIMITS)
        await runners[0].start()

    run(lambda: pair.main(outage))
    assert pair.sent_twice() <= ON_ITS_WAY


def test_who_alone_does_not_reach_the_store_sends_nothing_that_others_send() -> None:
    pair = Pair()

    async def outage(runners: list[Runner]) -> None:
        pair.reaches[0].cut = True
        await asyncio.sleep(HOUR)
        pair.reaches[0].cut = False

    run(lambda: pair.main(outage))
    assert pair.sent_twice() <= ON_ITS_WAY


def test_a_clock_set_forward_has_nothing_tried_that_is_being_tried() -> None:
    world, db, clock = slow_world(), InlineDatabase(), VirtualClock()

    async def main() -> None:
        fill(db, world, 40, 4, START)
        runner = new_runner(db, world, RULES, LIMITS, clock=clock)
        await runner.start()
        for _ in range(5):
            await asyncio.sleep(600.0)
            clock.jump += HOUR  # as after a sleep of the machine
            runner.wake()
        await asyncio.sleep(DAY)
        await runner.stop()

    run(main)
    assert db.tx.one("SELECT COUNT(*) FROM queue_recipients") == (0,)
    assert world.again == []
    assert set(world.taken.values()) == {1}


def deferred_backlog(tx: Transaction, rows: list[tuple[int, int]]) -> None:
    """Recipients that were tried before and are all due now."""
    blob = tx.blobs.keep(tx, tx.blobs.prepare((b"x",), 1, print), 1)
    tx.many(
        "INSERT INTO queue_messages VALUES (?, 3, ?, 1, 'a@us.example', '', '', '7BIT', 0, 0, 'en', ?, ?)",
        [(n, blob, START, START + 5 * DAY) for n, _ in rows],
    )
    tx.many(
        "INSERT INTO queue_recipients VALUES"
        " (?, 0, 3, 1, ?, ?, '', 0, 2, ?, ?, 0, 0, '', 0, '4.4.1', 'no answer', '')",
        [(n, f"old{d}.example", f"x@old{d}.example", START - 10, START + 4 * HOUR) for n, d in rows],
    )
    lanes = [(1, 3, f"old{d}.example", START - 10) for d in {d for _, d in rows}]
    lanes += [(1, -1, destination, at) for _, _, destination, at in lanes]
    tx.many("INSERT INTO queue_lanes VALUES (?, ?, ?, ?)", [*lanes, (1, 3, "*", START - 10)])


def test_the_same_seed_gives_the_same_world() -> None:
    def once() -> tuple[int, list[tuple[int, str]]]:
        world, db = make_world(11, 200), InlineDatabase()

        async def main() -> None:
            fill(db, world, 200, 200, START)
            runner = new_runner(db, world, RULES, LIMITS)
            await runner.start()
            await asyncio.sleep(DAY)
            await runner.stop()

        run(main)
        return world.attempts, sorted(world.taken)

    assert once() == once()
