"""The queue's store operations, over each database."""

from __future__ import annotations

import pytest
from support.queues import CONTENT, enqueue, keep

from mailwright.queue import intake, lanes, model, trace, usage
from mailwright.queue.limits import BreakerLimits
from mailwright.queue.model import Claimed, Finding, Notice, Rules
from mailwright.queue.planner import FRESH, RETRY, Claim, Lane
from mailwright.queue.schedule import DAY, HOUR, Schedule
from mailwright.queue.values import NewMessage, NewRecipient, Outcome, Recipient, Result
from mailwright.store.db.api import Database, Transaction

NOW = 1_800_000_000.0
RULES = Rules(schedule=Schedule(jitter=0.0))
SENT = Result(Outcome.SENT, "content", "2.0.0", "250 2.0.0 kept", 250, "mx.b.example")
LATER = Result(Outcome.DEFERRED, "rcpt", "4.2.1", "450 4.2.1 try later", 450, "mx.b.example")
UNKNOWN = Result(Outcome.FAILED, "rcpt", "5.1.1", "550 5.1.1 no such user", 550, "mx.b.example")


def claim_all(tx: Transaction, now: float, owner: str = "me", lease: float = 900.0) -> list[Claimed]:
    model.end_leases(tx, now)
    due = lanes.due_lanes(tx, now, [], [])
    return model.claim(tx, owner, [Claim(lane, 1000) for lane in due], now, lease)


def record(
    tx: Transaction,
    claimed: Claimed,
    result: Result,
    now: float,
    retry_at: float | None = None,
    owner: str = "me",
) -> list[Notice]:
    notices: list[Notice] = []
    finding = Finding(
        claimed.lane,
        claimed.message,
        now,
        tuple((r, result, retry_at) for r in claimed.recipients),
        {"host": "mx"},
    )
    model.record(tx, owner, [finding], RULES, lambda _tx, notice, _now: notices.append(notice))
    return notices


def empty(tx: Transaction) -> bool:
    tables = ("queue_messages", "queue_recipients", "blobs", "chunks")
    return all(tx.one(f"SELECT COUNT(*) FROM {table}") == (0,) for table in tables)


async def test_a_message_is_queued_claimed_delivered_and_gone(db: Database) -> None:
    def run(tx: Transaction) -> None:
        enqueue(tx, NOW, "bob@b.example", "carol@b.example", "dave@d.example")
        claimed = claim_all(tx, NOW)
        assert [(c.lane.destination, [r.address for r in c.recipients]) for c in claimed] == [
            ("b.example", ["bob@b.example", "carol@b.example"]),
            ("d.example", ["dave@d.example"]),
        ]
        assert claimed[0].message.content == CONTENT
        assert not claim_all(tx, NOW), "what is leased is not due"
        (notice,) = record(tx, claimed[0], SENT, NOW)
        assert [r.address for r, _ in notice.results] == ["bob@b.example", "carol@b.example"]
        assert not empty(tx)
        record(tx, claimed[1], SENT, NOW)
        assert empty(tx)

    await db.write(run)


async def test_a_deferred_recipient_comes_back_in_the_other_tier(db: Database) -> None:
    def run(tx: Transaction) -> None:
        enqueue(tx, NOW, "bob@b.example")
        (claimed,) = claim_all(tx, NOW)
        assert not record(tx, claimed, LATER, NOW, NOW + 300)
        assert lanes.due_lanes(tx, NOW + 299, [], []) == []
        assert lanes.due_lanes(tx, NOW + 300, [], []) == [Lane(RETRY, 0, "b.example")]
        (again,) = claim_all(tx, NOW + 300)
        assert again.recipients[0].attempts == 1
        record(tx, again, SENT, NOW + 300)
        assert empty(tx)

    await db.write(run)


async def test_content_that_could_not_be_sent_at_once_is_compressed(db: Database) -> None:
    content = b"Subject: x\r\n\r\n" + b"All work and no play.\r\n" * 200

    def stored(tx: Transaction) -> int:
        rows = tx.all("SELECT COALESCE(length(data), 0) FROM blobs") + tx.all(
            "SELECT length(data) FROM chunks"
        )
        return sum(length for (length,) in rows)

    def run(tx: Transaction) -> None:
        blob = tx.blobs.prepare((content,), len(content), pytest.fail)._replace(brief=True)
        number = tx.blobs.keep(tx, blob, int(NOW))
        message = NewMessage(number, len(content), "", (NewRecipient("bob@b.example"),), NOW)
        lease = intake.Lease("me", NOW + 900, frozenset({"b.example"}))
        ((claimed,), _) = intake.enqueue_all(tx, [intake.Entry(message, lease, content)], NOW, RULES)[0][1:]
        assert stored(tx) > len(content)
        record(tx, claimed, LATER, NOW, NOW + 300)
        assert stored(tx) < len(content) // 2
        (again,) = claim_all(tx, NOW + 300)
        assert again.message.content == content
        record(tx, again, SENT, NOW + 300)
        assert empty(tx)

    await db.write(run)


async def test_a_lease_ends_by_itself_and_a_late_final_result_still_counts(db: Database) -> None:
    def run(tx: Transaction) -> None:
        enqueue(tx, NOW, "bob@b.example")
        (first,) = claim_all(tx, NOW, "one", lease=60)
        assert not claim_all(tx, NOW + 59, "two")
        (second,) = claim_all(tx, NOW + 61, "two")
        # A deferral by the one that lost its lease is nobody's business any more; a delivery is.
        record(tx, first, LATER, NOW + 62, NOW + 300, owner="one")
        assert not claim_all(tx, NOW + 301, "three")
        record(tx, first, SENT, NOW + 62, owner="one")
        assert empty(tx)
        assert not record(tx, second, SENT, NOW + 63, owner="two"), "told once"

    await db.write(run)


async def test_leases_are_extended_and_given_back(db: Database) -> None:
    def run(tx: Transaction) -> None:
        queued = enqueue(tx, NOW, "bob@b.example", "dave@d.example")
        claim_all(tx, NOW, lease=60)
        assert not model.extend_leases(tx, "me", [(queued, 0), (queued, 1)], NOW + 500)
        assert model.extend_leases(tx, "other", [(queued, 0)], NOW + 900) == {(queued, 0)}
        assert not claim_all(tx, NOW + 400)
        number = claim_all(tx, NOW + 501)[0].message.id
        assert model.release_leases(tx, "me", NOW + 502, [(number, 0)]) == 1
        assert [c.lane.destination for c in claim_all(tx, NOW + 502, "other")] == ["b.example"]
        assert model.release_leases(tx, "me", NOW + 503) == 1
        assert [c.lane.destination for c in claim_all(tx, NOW + 503, "other")] == ["d.example"]

    await db.write(run)


async def test_the_next_time_is_known_without_looking_at_every_recipient(db: Database) -> None:
    def run(tx: Transaction) -> None:
        assert lanes.next_due(tx) is None
        enqueue(tx, NOW, "bob@b.example")
        assert lanes.next_due(tx) == NOW
        (claimed,) = claim_all(tx, NOW, lease=10_000)
        record(tx, claimed, LATER, NOW, NOW + 300)
        claim_all(tx, NOW + 1)
        assert lanes.next_due(tx) == NOW + 300

    await db.write(run)


async def test_due_lanes_are_fair_to_accounts_and_to_destinations(db: Database) -> None:
    def run(tx: Transaction) -> None:
        for n in range(100):
            enqueue(tx, NOW, f"x@d{n}.example", account=1, rules=NO_BREAKER)
        for n in range(2, 102):
            enqueue(tx, NOW + 1, "x@popular.example", account=n, rules=NO_BREAKER)
        enqueue(tx, NOW + 2, "x@d1.example", account=500, rules=NO_BREAKER)
        enqueue(tx, NOW + 2, "x@quiet.example", account=2, rules=NO_BREAKER)
        served: list[Lane] = []
        for n in range(16):
            due = lanes.due_lanes(tx, NOW + 3, [], [], limit=16)[:16]
            served += due
            model.claim(tx, "me", [Claim(lane, 1) for lane in due], NOW + 3 + n / 100, 900)
            if Lane(FRESH, 2, "quiet.example") in served and Lane(FRESH, 500, "d1.example") in served:
                break
        assert Lane(FRESH, 500, "d1.example") in served
        assert Lane(FRESH, 2, "quiet.example") in served

    await db.write(run)


NO_BREAKER = Rules(breaker=BreakerLimits(strangers_per_hour=0, failures_per_hour=0))


async def test_full_accounts_and_destinations_are_passed_over(db: Database) -> None:
    def run(tx: Transaction) -> None:
        enqueue(tx, NOW, "x@a.example", account=1)
        enqueue(tx, NOW, "x@b.example", account=2)
        assert lanes.due_lanes(tx, NOW, ["a.example"], []) == [Lane(FRESH, 2, "b.example")]
        assert lanes.due_lanes(tx, NOW, [], [2]) == [Lane(FRESH, 1, "a.example")]
        assert lanes.due_lanes(tx, NOW, ["b.example"], [1]) == []

    await db.write(run)


async def test_a_destination_rests_without_touching_its_recipients(db: Database) -> None:
    def run(tx: Transaction) -> None:
        for account in range(5):
            enqueue(tx, NOW, "x@dead.example", account=account)
        enqueue(tx, NOW, "x@b.example", account=1)
        lanes.rest(tx, "dead.example", NOW + 600)
        assert {lane.destination for lane in lanes.due_lanes(tx, NOW + 1, [], [])} == {"b.example"}
        claim_all(tx, NOW + 1)
        assert lanes.next_due(tx) == NOW + 600
        assert len(claim_all(tx, NOW + 600)) == 5
        enqueue(tx, NOW + 601, "y@dead.example")
        assert len(claim_all(tx, NOW + 601)) == 1, "new mail may try at once"

    await db.write(run)


async def test_the_sweep_warns_once_then_ends_even_what_was_never_tried(db: Database) -> None:
    def run(tx: Transaction) -> None:
        number = enqueue(tx, NOW, NewRecipient("bob@b.example", notify=4))
        lanes.rest(tx, "b.example", NOW + 30 * DAY)
        told: list[tuple[str, list[Outcome]]] = []

        def report(_tx: Transaction, notice: Notice, _now: float) -> None:
            told.append((notice.message.reverse_path, [result.outcome for _, result in notice.results]))

        assert model.sweep(tx, NOW + 4 * HOUR - 1, RULES, report) == 0
        assert model.sweep(tx, NOW + 4 * HOUR, RULES, report) == 1
        assert model.sweep(tx, NOW + 5 * HOUR, RULES, report) == 0
        assert model.sweep(tx, NOW + 5 * DAY + model.GRACE, RULES, report) == 1
        assert told == [("alice@us.example", [Outcome.DEFERRED]), ("alice@us.example", [Outcome.FAILED])]
        assert empty(tx)
        story = trace.tell(trace.read(tx, number))  # type: ignore[arg-type]
        assert "Late, the sender is warned" in story
        assert "Gave up" in story

    await db.write(run)


async def test_a_rollback_takes_the_queued_message_with_it(db: Database) -> None:
    def run(tx: Transaction) -> None:
        enqueue(tx, NOW, "bob@b.example")
        raise ValueError("the transaction fails")

    with pytest.raises(ValueError, match="fails"):
        await db.write(run)
    assert await db.read(empty)


async def test_two_messages_may_share_their_content(db: Database) -> None:
    def run(tx: Transaction) -> None:
        enqueue(tx, NOW, "bob@b.example")
        enqueue(tx, NOW, "dave@d.example")
        one, two = claim_all(tx, NOW)
        record(tx, one, SENT, NOW)
        assert b"".join(tx.blobs.read(tx, two.message.blob)) == CONTENT
        record(tx, two, SENT, NOW)
        assert empty(tx)

    await db.write(run)


async def test_a_bad_address_is_suppressed_for_the_account_that_met_it(db: Database) -> None:
    def run(tx: Transaction) -> None:
        enqueue(tx, NOW, "Nobody@b.example", account=7)
        (claimed,) = claim_all(tx, NOW)
        record(tx, claimed, UNKNOWN, NOW)
        found = usage.read_suppression(tx, 7, "nobody@B.example", NOW + DAY)
        assert found is not None
        assert "no such user" in found.reason
        assert usage.read_suppression(tx, 8, "nobody@b.example", NOW) is None
        assert usage.read_suppression(tx, 7, "nobody@b.example", NOW + 90 * DAY) is None
        assert [s.address for s in usage.suppressions(tx, 7)] == ["nobody@b.example"]
        assert usage.forget_suppression(tx, 7, "nobody@b.example")
        assert usage.read_suppression(tx, 7, "nobody@b.example", NOW) is None
        counted = usage.read_usage(tx, 7, NOW)
        assert (counted.hour_messages, counted.hour_recipients, counted.hour_failed) == (1, 1, 1)

    await db.write(run)


async def test_an_account_that_suddenly_writes_to_many_strangers_is_held(db: Database) -> None:
    rules = Rules(breaker=BreakerLimits(strangers_per_hour=20))

    def run(tx: Transaction) -> None:
        for n in range(25):
            enqueue(tx, NOW + n, f"stranger{n}@d{n}.example", account=7, rules=rules)
        enqueue(tx, NOW, "friend@b.example", account=8, rules=rules)
        stop = usage.read_stop(tx, 7)
        assert stop is not None
        assert "never wrote before" in stop.reason
        assert [s.account for s in usage.take_untold_stops(tx)] == [7]
        assert not usage.take_untold_stops(tx)
        assert {c.lane.account for c in claim_all(tx, NOW + 60)} == {8}

    await db.write(run)


async def test_a_destination_of_many_messages_is_claimed_in_order_and_in_part(db: Database) -> None:
    def run(tx: Transaction) -> None:
        numbers = [enqueue(tx, NOW + n, f"x{n}@b.example") for n in range(10)]
        lane = Lane(FRESH, 0, "b.example")
        first = model.claim(tx, "me", [Claim(lane, 4)], NOW + 20, 900)
        assert [c.message.id for c in first] == numbers[:4]
        assert lanes.due_lanes(tx, NOW + 20, [], []) == [lane]
        second = model.claim(tx, "me", [Claim(lane, 100)], NOW + 20, 900)
        assert [c.message.id for c in second] == numbers[4:]

    await db.write(run)


async def test_a_claim_takes_no_more_than_it_says_however_the_database_plans_it(db: Database) -> None:
    def run(tx: Transaction) -> None:
        if tx.dialect.name == "postgres":  # leave it only loops, which ask a subquery again for each row
            for way in ("hashjoin", "mergejoin", "hashagg", "material", "memoize", "sort"):
                tx.run(f"SET LOCAL enable_{way} = off")
        numbers = [enqueue(tx, NOW + n, f"x{n}@b.example") for n in range(10)]
        claimed = model.claim(tx, "me", [Claim(Lane(FRESH, 0, "b.example"), 4)], NOW + 20, 900)
        assert [c.message.id for c in claimed] == numbers[:4]

    await db.write(run)


async def test_large_content_stays_out_of_memory(db: Database) -> None:
    def run(tx: Transaction) -> None:
        content = CONTENT + b"x" * model.IN_MEMORY
        enqueue(tx, NOW, "bob@b.example", content=content)
        (claimed,) = claim_all(tx, NOW)
        assert claimed.message.content is None
        assert b"".join(tx.blobs.read(tx, claimed.message.blob)) == content

    await db.write(run)


async def test_what_was_asked_for_comes_back(db: Database) -> None:
    def run(tx: Transaction) -> None:
        message = NewMessage(
            keep(tx), len(CONTENT), "ali@ü.example", (NewRecipient("b@b.example", "rfc822;B@x.example", 5),), NOW,
            envid="E1", ret="HDRS", body="8BITMIME", smtputf8=True, requiretls=True, language="zh",
        )  # fmt: skip
        intake.enqueue(tx, message, NOW, RULES)
        (claimed,) = claim_all(tx, NOW)
        kept = claimed.message
        assert (kept.envid, kept.ret, kept.body, kept.language) == ("E1", "HDRS", "8BITMIME", "zh")
        assert kept.smtputf8
        assert kept.requiretls
        assert kept.expires_at == NOW + 5 * DAY
        assert claimed.recipients == (Recipient(0, "b@b.example", "rfc822;B@x.example", 5, 0, False),)

    await db.write(run)
