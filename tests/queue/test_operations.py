"""What a postmaster does with the queue, over each database."""

from __future__ import annotations

import json

import pytest
from support.accounts import new_account
from support.queues import enqueue

from mailwright.queue import lanes, model, operations, trace, usage
from mailwright.queue.dsn import Origin
from mailwright.queue.limits import BreakerLimits
from mailwright.queue.model import Finding, Notice, Rules
from mailwright.queue.operations import Selection
from mailwright.queue.planner import Claim, Lane
from mailwright.queue.reports import Reports
from mailwright.queue.routes import Route, Router
from mailwright.queue.values import Outcome, Result
from mailwright.store.db.api import Database, Transaction

NOW = 1_800_000_000.0
RULES = Rules(breaker=BreakerLimits(strangers_per_hour=0, failures_per_hour=0))
DOWN = Result(Outcome.DEFERRED, "connect", "4.4.1", "no answer", 0, "mx.b.example")


def fill(tx: Transaction) -> list[int]:
    return [
        enqueue(tx, NOW, "bob@b.example", "carol@b.example", account=1, rules=RULES),
        enqueue(tx, NOW + 1, "dave@d.example", account=2, sender="eve@us.example", rules=RULES),
        enqueue(tx, NOW + 2, "bob@b.example", sender="", rules=RULES),
    ]


def take_due(tx: Transaction, now: float) -> list[str]:
    due = lanes.due_lanes(tx, now, [], [])
    claimed = model.claim(tx, "me", [Claim(lane, 100) for lane in due], now, 60)
    found = sorted(r.address for c in claimed for r in c.recipients)
    model.release_leases(tx, "me", now)
    return found


def defer_all(tx: Transaction, now: float) -> None:
    due = lanes.due_lanes(tx, now, [], [])
    for c in model.claim(tx, "me", [Claim(lane, 100) for lane in due], now, 60):
        rows = tuple((r, DOWN, now + 900) for r in c.recipients)
        model.record(tx, "me", [Finding(c.lane, c.message, now, rows, {"host": "mx.b.example"})], RULES)


async def test_entries_are_selected_and_paged(db: Database) -> None:
    def run(tx: Transaction) -> None:
        first, second, third = fill(tx)
        every = operations.entries(tx, Selection())
        assert [(e.id, e.address) for e in every] == [
            (first, "bob@b.example"), (first, "carol@b.example"), (second, "dave@d.example"), (third, "bob@b.example"),
        ]  # fmt: skip
        page = operations.entries(tx, Selection(), limit=2)
        rest = operations.entries(tx, Selection(), limit=9, after=(page[-1].id, page[-1].n))
        assert page + rest == every

        def ids(**wanted: object) -> list[int]:
            return [e.id for e in operations.entries(tx, Selection(**wanted))]  # type: ignore[arg-type]

        assert ids(id=second) == [second]
        assert ids(sender="EVE@us.example") == [second]
        assert ids(sender="") == [third]
        assert ids(sender="@us.example") == [first, first, second]
        assert ids(recipient="bob@b.example") == [first, third]
        assert ids(recipient="@%.example") == []
        assert ids(destination="d.example") == [second]
        assert ids(account=1) == [first, first]
        assert ids(account=1, recipient="carol@b.example") == [first]
        assert operations.size(tx) == (3, 4)

    await db.write(run)


async def test_counts_by_destination_and_reason(db: Database) -> None:
    def run(tx: Transaction) -> None:
        fill(tx)
        defer_all(tx, NOW + 3)
        enqueue(tx, NOW + 4, "new@b.example", rules=RULES)
        counted = [(c.destination, c.reason, c.recipients) for c in operations.counts(tx)]
        assert counted == [("b.example", "no answer", 3), ("b.example", "", 1), ("d.example", "no answer", 1)]
        assert operations.counts(tx)[0].oldest == NOW

    await db.write(run)


async def test_hold_and_release(db: Database) -> None:
    def run(tx: Transaction) -> None:
        first, _, _ = fill(tx)
        assert operations.hold(tx, Selection(recipient="@b.example"), NOW + 3) == 3
        assert operations.hold(tx, Selection(recipient="@b.example"), NOW + 3) == 0
        assert take_due(tx, NOW + 4) == ["dave@d.example"]
        assert model.sweep(tx, NOW + 30 * 86_400, RULES) == 1, "what is held does not expire"
        assert [e.held for e in operations.entries(tx, Selection(held=True))] == [True] * 3
        assert operations.release(tx, Selection(id=first), NOW + 5) == 2
        assert take_due(tx, NOW + 6) == ["bob@b.example", "carol@b.example"]

    await db.write(run)


async def test_retry_now_also_where_the_destination_rests(db: Database) -> None:
    def run(tx: Transaction) -> None:
        fill(tx)
        defer_all(tx, NOW + 3)
        lanes.rest(tx, "b.example", NOW + 5000)
        assert take_due(tx, NOW + 4) == []
        assert operations.retry(tx, Selection(destination="b.example"), NOW + 4) == 3
        assert take_due(tx, NOW + 4) == ["bob@b.example", "bob@b.example", "carol@b.example"]
        lanes.rest(tx, "b.example", NOW + 9000)
        operations.retry(tx, Selection(destination="b.example"), NOW + 5)
        assert len(take_due(tx, NOW + 5)) == 3, "due already, but resting"

    await db.write(run)


async def test_reroute_by_hand_and_by_new_rules(db: Database) -> None:
    rules = Rules(router=Router((Route("smart", domains=("b.example",), hosts=("relay.example",)),)))

    def run(tx: Transaction) -> None:
        fill(tx)
        defer_all(tx, NOW + 3)
        assert operations.reroute(tx, Selection(), NOW + 4, rules) == 3
        assert {c.destination for c in operations.counts(tx)} == {"@smart", "d.example"}
        assert take_due(tx, NOW + 4) == ["bob@b.example", "bob@b.example", "carol@b.example"]
        assert operations.reroute(tx, Selection(destination="d.example"), NOW + 5, rules, "@smart") == 1
        assert {c.destination for c in operations.counts(tx)} == {"@smart"}

    await db.write(run)


async def test_expire_tells_the_sender_and_delete_does_not(db: Database) -> None:
    def run(tx: Transaction) -> None:
        first, second, _ = fill(tx)
        told: list[Notice] = []
        report = lambda _tx, notice, _now: told.append(notice)  # noqa: E731
        assert operations.expire(tx, Selection(id=first), NOW + 3, RULES, report) == 2
        assert [(notice.message.id, len(notice.results)) for notice in told] == [(first, 2)]
        assert told[0].results[0][1].outcome is Outcome.FAILED
        assert operations.delete(tx, Selection(id=second), NOW + 4) == 1
        assert len(told) == 1
        assert operations.size(tx) == (1, 1)
        assert operations.delete(tx, Selection(), NOW + 5) == 1
        assert tx.one("SELECT COUNT(*) FROM blobs") == (0,)
        assert "Deleted by the administrator: dave@d.example" in trace.tell(trace.read(tx, second))  # type: ignore[arg-type]

    await db.write(run)


async def test_what_is_on_its_way_is_left_alone(db: Database) -> None:
    def run(tx: Transaction) -> None:
        fill(tx)
        lane = Lane(0, 2, "d.example")
        model.claim(tx, "me", [Claim(lane, 5)], NOW + 3, 60)
        assert operations.delete(tx, Selection(destination="d.example"), NOW + 4) == 0
        assert operations.hold(tx, Selection(destination="d.example"), NOW + 4) == 0
        assert [e.active for e in operations.entries(tx, Selection(account=2))] == [True]

    await db.write(run)


async def test_an_account_that_was_stopped_is_released(db: Database) -> None:
    def run(tx: Transaction) -> None:
        fill(tx)
        usage.stop_account(tx, 1, NOW + 3, "stolen password")
        enqueue(tx, NOW + 4, "x@b.example", account=1, rules=RULES)
        assert take_due(tx, NOW + 5) == ["bob@b.example", "dave@d.example"]
        assert [(s.account, s.reason) for s in usage.stops(tx)] == [(1, "stolen password")]
        assert operations.release(tx, Selection(account=1, recipient="x@b.example"), NOW + 6) == 1
        assert usage.stops(tx), "more of its mail is held"
        assert operations.release(tx, Selection(account=1), NOW + 6) == 2
        assert len(take_due(tx, NOW + 7)) == 5
        assert not usage.stops(tx)

    await db.write(run)


@pytest.mark.parametrize(
    ("selection", "ended"),
    [
        (Selection(), True),
        (Selection(account=1), True),
        (Selection(account=2), False),
        (Selection(sender="alice@us.example"), True),
        (Selection(sender="@us.example"), True),
        (Selection(sender="bob@us.example"), False),
        (Selection(recipient="@b.example"), False),
    ],
)
async def test_a_stopped_account_of_which_nothing_is_held_is_released(
    db: Database, selection: Selection, ended: bool
) -> None:
    def run(tx: Transaction) -> None:
        tx.run("INSERT INTO accounts (id, address, created_at) VALUES (1, 'alice@us.example', 1)")
        usage.stop_account(tx, 1, NOW, "stolen password")
        assert operations.release(tx, selection, NOW + 1) == 0
        assert (not usage.stops(tx)) == ended

    await db.write(run)


async def test_a_stop_ends_when_what_it_held_is_given_up(db: Database) -> None:
    def run(tx: Transaction) -> None:
        fill(tx)
        usage.stop_account(tx, 1, NOW + 3, "stolen password")
        assert operations.expire(tx, Selection(account=1), NOW + 4, RULES, None) == 2
        assert not usage.stops(tx)

    await db.write(run)


@pytest.mark.parametrize(
    ("sender", "count"), [("", 1), ("<>", 1), ("<eve@us.example>", 1), ("<x@y.example>", 0)]
)
async def test_addresses_are_taken_as_they_are_shown(db: Database, sender: str, count: int) -> None:
    def run(tx: Transaction) -> None:
        fill(tx)
        assert len(operations.entries(tx, Selection(sender=sender))) == count

    await db.write(run)


async def test_the_postmaster_is_told_of_a_stop_once(db: Database) -> None:
    mails: list[tuple[str, bytes]] = []

    def keep(_tx: Transaction, address: str, content: bytes, now: float) -> tuple[str, ...]:
        mails.append((address, content))
        return ()

    reports = Reports(RULES, Origin("mx.us.example", "postmaster@us.example"), keep)

    def run(tx: Transaction) -> None:
        account = new_account(tx, "mallory@us.example")
        usage.stop_account(tx, account, NOW, "400 recipients refused")
        assert reports.tell_stops(tx, NOW) == 1
        assert reports.tell_stops(tx, NOW + 1) == 0

    await db.write(run)
    ((address, content),) = mails
    assert address == "postmaster@us.example"
    assert b"Subject: Outbound mail of mallory@us.example is held" in content
    assert b"400 recipients refused" in content
    assert b"mailwright queue release --sender mallory@us.example" in content


async def test_a_message_is_found_and_its_story_told(db: Database) -> None:
    def run(tx: Transaction) -> None:
        first, _, _ = fill(tx)
        defer_all(tx, NOW + 3)
        trace.add(tx, first, NOW + 3, "verdict", {"name": "spf", "verdict": "pass", "text": "192.0.2.1"})
        assert trace.find(tx, str(first)) == [first]
        assert trace.find(tx, "Carol@b.example") == [first]
        assert first in trace.find(tx, "<1@us.example>")
        assert not trace.find(tx, "nobody@nowhere.example")
        assert not trace.find(tx, "arol@b.example"), "only the whole of a name"
        assert not trace.find(tx, "c_rol@b.example"), "nothing stands for anything else"
        assert not trace.find(tx, "%")
        assert not trace.find(tx, "<>"), "nor is what has no sender called so"
        record = trace.read(tx, first)
        assert record is not None
        story = trace.tell(record)
        assert "Message" in story
        assert "Check spf: pass (192.0.2.1)." in story
        assert "2 recipients still waiting" in story
        told = trace.to_json(record)
        assert [event["kind"] for event in told["events"]] == ["accepted", "attempt", "verdict"]
        json.dumps(told)
        assert trace.read(tx, 999_999) is None

    await db.write(run)


async def test_old_records_go_when_their_message_is_gone(db: Database) -> None:
    def run(tx: Transaction) -> None:
        numbers = fill(tx)
        assert trace.purge(tx, NOW + 31 * 86_400) == 0, "they are still in the queue"
        operations.delete(tx, Selection(), NOW + 5)
        assert trace.purge(tx, NOW + 29 * 86_400) == 0
        assert trace.purge(tx, NOW + 31 * 86_400) == 3
        assert trace.read(tx, numbers[0]) is None
        assert tx.one("SELECT COUNT(*) FROM trace_events") == (0,)
        assert fill(tx)[0] > numbers[-1], "ids are never used twice"

    await db.write(run)


async def test_a_huge_event_is_cut(db: Database) -> None:
    def run(tx: Transaction) -> None:
        number = fill(tx)[0]
        trace.add(tx, number, NOW, "attempt", {"lines": ["x" * 100] * 1000})
        record = trace.read(tx, number)
        assert record is not None
        assert len(json.dumps(record.events[-1].data)) < trace.MAX_DATA

    await db.write(run)
