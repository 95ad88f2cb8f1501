"""The whole queue over real sockets and databases: in by `enqueue`, out at a peer, and what is told of it."""

from __future__ import annotations

import asyncio
import email
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.peer import EXTENSIONS, Peer
from support.queues import CONTENT, enqueue, new_message

from mailwright.base.clock import SystemClock
from mailwright.dns.mock import MockResolver
from mailwright.hooks import AttemptFinished, on
from mailwright.hooks.api import Subscription
from mailwright.hooks.caller import Hooks
from mailwright.hooks.loader import Hook
from mailwright.queue import dsn, lanes, model, trace
from mailwright.queue.attempt import SMTPTransport
from mailwright.queue.hosts import HostFinder
from mailwright.queue.intake import Entry, Queued, enqueue_all
from mailwright.queue.limits import BreakerLimits
from mailwright.queue.model import Rules
from mailwright.queue.opening import Settings
from mailwright.queue.planner import Claim, Limits
from mailwright.queue.reports import Reports
from mailwright.queue.runner import LEASE, LOOK, Runner
from mailwright.queue.schedule import Schedule
from mailwright.queue.values import NewMessage, NewRecipient, parse_notify
from mailwright.store.db.api import Database, Transaction
from mailwright.store.errors import StoreBusy

CLOCK = SystemClock()
RULES = Rules(schedule=Schedule(delays=(0.2,), jitter=0.0), breaker=BreakerLimits(0, 0, 0, 0))


@asynccontextmanager
async def running(
    db: Database, peer: Peer, rules: Rules = RULES, kept: list[tuple[str, bytes]] | None = None, **more: Any
) -> AsyncIterator[Runner]:
    resolver = MockResolver({"b.example": {"MX": ["10 mx.b.example"]}, "mx.b.example": {"A": ["127.0.0.1"]}})
    transport = SMTPTransport(db, HostFinder(resolver), CLOCK, Settings("mx.us.example", peer.port))

    def keep(tx: Transaction, address: str, content: bytes, now: float) -> tuple[str, ...]:
        if kept is None or not address.endswith("@us.example"):
            return (address,)
        kept.append((address, content))
        return ()

    report = Reports(rules, dsn.Origin("mx.us.example", "postmaster@us.example"), keep)
    runner = Runner(db, transport, CLOCK, rules=rules, report=report, **more)
    await runner.start()
    try:
        yield runner
    finally:
        await runner.stop(timeout=2.0)


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def drained(db: Database) -> None:
    async with asyncio.timeout(60):
        while (await db.read(lambda tx: tx.one("SELECT COUNT(*) FROM queue_recipients"))) != (0,):
            await asyncio.sleep(0.02)


async def put(db: Database, *addresses: str | NewRecipient, **more: Any) -> int:
    return await db.write(lambda tx: enqueue(tx, CLOCK.now(), *addresses, rules=RULES, **more))


async def test_fresh_mail_leaves_at_once_and_many_messages_share_connections(db: Database) -> None:
    async with Peer() as peer, running(db, peer) as runner:
        await put(db, "bob@b.example")
        runner.wake()
        await until(lambda: len(peer.taken) == 1, LOOK - 5.0)  # it looks by itself only then
        for n in range(100):
            await put(db, f"u{n}@b.example")
        runner.wake()
        await drained(db)
    assert len(peer.taken) == 101
    assert peer.connections <= 20
    assert len({taken.recipients[0] for taken in peer.taken}) == 101


async def put_leased(db: Database, runner: Runner, *addresses: str) -> list[Queued]:
    def write(tx: Transaction) -> list[Queued]:
        entries = []
        for address, lease in zip(addresses, leases, strict=True):
            entries.append(Entry(new_message(tx, CLOCK.now(), address), lease, CONTENT))
        return enqueue_all(tx, entries, CLOCK.now(), RULES)

    to = [NewRecipient(address) for address in addresses]
    leases = [runner.lease(NewMessage(0, 1, "", (recipient,), 0.0)) for recipient in to]
    return await db.write(write)


async def test_new_mail_is_handed_over_under_a_lease_and_never_claimed(db: Database) -> None:
    async with Peer() as peer, running(db, peer) as runner:
        await asyncio.sleep(0)
        queued = await put_leased(db, runner, "one@b.example", "two@b.example")
        assert [(item.claimed[0].message.content, item.waits) for item in queued] == [(CONTENT, False)] * 2
        owners = await db.read(lambda tx: tx.all("SELECT DISTINCT owner <> '' FROM queue_recipients"))
        assert [bool(owner) for (owner,) in owners] == [True]
        assert await db.read(lambda tx: tx.all("SELECT * FROM queue_lanes")) == []
        runner.queued(queued)
        await drained(db)
        record = await db.read(trace.read, queued[1].id)
    assert sorted(taken.recipients[0] for taken in peer.taken) == [
        "RCPT TO:<one@b.example>",
        "RCPT TO:<two@b.example>",
    ]
    assert record is not None
    assert [event.kind for event in record.events] == ["accepted", "attempt"]


async def test_what_is_leased_and_never_told_of_is_sent_when_its_lease_has_ended(db: Database) -> None:
    async with Peer() as peer, running(db, peer) as runner:
        await asyncio.sleep(0)
        await put_leased(db, runner, "lost@b.example")  # whoever accepted it was cancelled
        later = CLOCK.now() + LEASE + 1
        await db.write(model.end_leases, CLOCK.now())
        assert await db.read(lanes.next_due) is None
        await runner._extend_leases()
        assert await db.write(model.end_leases, later) == 1
        assert await db.write(claim_later, later) == ["lost@b.example"]


def claim_later(tx: Transaction, at: float) -> list[str]:
    due = lanes.due_lanes(tx, at, [], [])
    claimed = model.claim(tx, "me", [Claim(lane, 10) for lane in due], at + 1, LEASE)
    return [recipient.address for item in claimed for recipient in item.recipients]


async def test_a_lease_is_given_only_while_there_is_room(db: Database) -> None:
    async with Peer() as peer, running(db, peer) as runner:
        await asyncio.sleep(0)
        many = tuple(NewRecipient(f"u{n}@b.example") for n in range(6))
        mixed = (*many, NewRecipient("one@c.example"))
        assert runner.lease(NewMessage(0, 1, "", many, 0.0)) is None, "half a first batch is five"
        lease = runner.lease(NewMessage(0, 1, "", mixed, 0.0))
        assert lease is not None
        assert lease.destinations == {"c.example"}
        runner.planner.failed("c.example", CLOCK.now(), Schedule())
        assert runner.lease(NewMessage(0, 1, "", mixed, 0.0)) is None, "it rests"


async def test_a_greylisted_message_is_delivered_later_and_the_story_is_told(db: Database) -> None:
    seen: list[str] = []

    def rcpt(line: str) -> bytes:
        seen.append(line)
        return b"450 4.2.0 greylisted\r\n" if len(seen) == 1 else b"250 2.1.5 ok\r\n"

    async with Peer(replies={"RCPT": rcpt}) as peer, running(db, peer) as runner:
        number = await put(db, "bob@b.example", origin="from 192.0.2.1 as alice@us.example")
        runner.wake()
        await drained(db)
    record = await db.read(trace.read, number)
    assert record is not None
    story = trace.tell(record, lines=True)
    assert "Accepted from 192.0.2.1 as alice@us.example." in story
    assert "bob@b.example: deferred at rcpt, 450 4.2.0 greylisted; next attempt" in story
    assert "bob@b.example: sent, 250 2.0.0 kept" in story
    assert "mx.b.example [127.0.0.1]" in story
    assert "C: RCPT TO:<bob@b.example>" in story
    assert "Nothing is waiting any more." in story


async def test_a_bounce_goes_to_the_local_sender_or_back_through_the_queue(db: Database) -> None:
    kept: list[tuple[str, bytes]] = []
    async with (
        Peer(replies={"RCPT TO:<no@": b"550 5.1.1 no such user\r\n"}) as peer,
        running(db, peer, kept=kept) as runner,
    ):
        await put(db, "no@b.example", "yes@b.example")
        await put(db, "no@b.example", sender="stranger@b.example")
        runner.wake()
        await drained(db)
        assert [address for address, _ in kept] == ["alice@us.example"]
        parsed = email.message_from_bytes(kept[0][1])
        assert parsed.get_content_type() == "multipart/report"
        assert b"no@b.example" in kept[0][1]
        assert b"yes@b.example" not in kept[0][1].split(b"message/rfc822")[0]
        assert CONTENT in kept[0][1]
        bounced = [taken for taken in peer.taken if taken.mail.startswith("MAIL FROM:<>")]
        assert [taken.recipients[0] for taken in bounced] == ["RCPT TO:<stranger@b.example>"]


async def test_no_bounce_for_a_bounce(db: Database) -> None:
    kept: list[tuple[str, bytes]] = []
    async with Peer(replies={"RCPT": b"550 5.1.1 no\r\n"}) as peer, running(db, peer, kept=kept) as runner:
        await put(db, "no@b.example", sender="")
        runner.wake()
        await drained(db)
    assert not kept
    assert not peer.taken


async def test_a_report_of_what_required_tls_requires_it_too(db: Database) -> None:
    """RFC 8689 5."""
    async with Peer((*EXTENSIONS, "REQUIRETLS")) as peer, running(db, peer) as runner:
        await put(db, "no@b.example", sender="bob@b.example", requiretls=True)
        runner.wake()
        await drained(db)
    (sent,) = peer.taken
    assert sent.recipients == ["RCPT TO:<bob@b.example>"]
    assert sent.mail.startswith("MAIL FROM:<> ")
    assert sent.mail.endswith(" REQUIRETLS")
    assert b"Status: 5.7.10" in sent.content
    assert CONTENT not in sent.content


async def test_success_is_reported_when_the_peer_cannot(db: Database) -> None:
    kept: list[tuple[str, bytes]] = []
    async with Peer(extensions=("PIPELINING",)) as peer, running(db, peer, kept=kept) as runner:
        await put(db, NewRecipient("bob@b.example", notify=parse_notify("SUCCESS")))
        runner.wake()
        await drained(db)
    assert b"Action: relayed" in kept[0][1]


async def test_the_recipients_of_one_attempt_are_tried_together_again(db: Database) -> None:
    rules = Rules(schedule=Schedule(delays=(600.0,), jitter=0.5), breaker=BreakerLimits(0, 0, 0, 0))
    async with Peer(final=b"451 4.3.0 busy\r\n") as peer, running(db, peer, rules) as runner:
        await put(db, *[f"{n}@b.example" for n in range(5)])
        runner.wake()
        await until(lambda: bool(peer.taken))
    rows = await db.read(lambda tx: tx.all("SELECT DISTINCT attempts, due_at FROM queue_recipients"))
    assert [attempts for attempts, _ in rows] == [1]


async def test_stopping_gives_the_leases_back(db: Database) -> None:
    hang = asyncio.Event()
    async with Peer(replies={"MAIL": b"250-wait\r\n"}) as peer:
        async with running(db, peer) as runner:
            await put(db, "bob@b.example")
            runner.wake()
            await until(lambda: any(line.startswith("MAIL") for line in peer.lines))
            hang.set()
        assert await db.read(lambda tx: tx.one("SELECT owner, attempts FROM queue_recipients")) == ("", 0)
        peer.replies.clear()
        async with running(db, peer):
            await drained(db)
    assert len(peer.taken) == 1


async def test_stopping_waits_for_the_reply_to_what_was_sent_whole(db: Database) -> None:
    """Else the peer would get it again."""
    async with Peer(final=b"250-wait\r\n") as peer, running(db, peer) as runner:
        await put(db, "bob@b.example")
        runner.wake()
        await until(lambda: bool(peer.taken))
        stopping = asyncio.create_task(runner.stop(timeout=2.0))  # the store has so long to keep the reply
        await asyncio.sleep(2.3)
        assert not stopping.done()
        peer.streams[0].write(b"250 2.0.0 kept\r\n")
        await stopping
        assert await db.read(lambda tx: tx.one("SELECT COUNT(*) FROM queue_recipients")) == (0,)


@pytest.mark.parametrize("extensions", [(), ("PIPELINING",), ("PIPELINING", "CHUNKING")])
async def test_the_record_tells_that_stopping_left_a_reply_unheard(
    db: Database, extensions: tuple[str, ...]
) -> None:
    async with Peer(extensions, final=b"250-wait\r\n") as peer, running(db, peer) as runner:
        number = await put(db, "bob@b.example", "carol@b.example")
        runner.wake()
        await until(lambda: bool(peer.taken))
        await runner.stop(timeout=3.0, patience=0.05)  # the store has so long to keep what became of it
        rows = await db.read(lambda tx: tx.all("SELECT owner, attempts FROM queue_recipients"))
        assert rows == [("", 1), ("", 1)]
        record = await db.read(trace.read, number)
        assert record is not None
        told = trace.tell(record)
        assert (
            "this server was stopped before the reply came; the message was sent whole and may have" in told
        )


class Flaky:
    """A database that cannot write now and then."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.dialect = db.dialect
        self.calls = 0

    async def write(self, operation: Any, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.calls % 3 == 1 and self.calls > 1:
            raise StoreBusy("busy; try again")
        return await self._db.write(operation, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


async def test_results_survive_a_store_that_is_busy(db: Database) -> None:
    async with Peer() as peer, running(Flaky(db), peer) as runner:
        for n in range(5):
            await put(db, f"u{n}@b.example")
        runner.wake()
        await drained(db)
    assert len(peer.taken) == 5


async def test_two_runners_share_one_queue(db: Database) -> None:
    """Each recipient is attempted by one; over SQLite that is one process, so only PostgreSQL is shared."""
    if db.dialect.name == "sqlite":
        return
    async with Peer() as peer:
        for n in range(200):
            await put(db, f"u{n}@b.example")
        limits = Limits(per_destination=3)
        async with (
            running(db, peer, owner="one", limits=limits),
            running(db, peer, owner="two", limits=limits),
        ):
            await drained(db)
        assert len(peer.taken) == 200
        assert len({taken.recipients[0] for taken in peer.taken}) == 200


async def test_a_peer_that_closes_every_few_messages_gets_each_message_once(db: Database) -> None:
    async with Peer(most_messages=3) as peer, running(db, peer, limits=Limits(per_destination=2)) as runner:
        for n in range(60):
            await put(db, f"u{n}@b.example")
        runner.wake()
        await drained(db)
    assert sorted(taken.recipients[0] for taken in peer.taken) == sorted(
        f"RCPT TO:<u{n}@b.example>" for n in range(60)
    )


async def test_the_next_envelope_goes_along_with_the_content(db: Database) -> None:
    """RFC 2920 3.1: the end of the content may be followed by the next group of commands."""
    refused = {"RCPT TO:<u7@": b"550 5.1.1 no such user\r\n"}
    async with (
        Peer(replies=dict(refused)) as peer,
        running(db, peer, limits=Limits(per_destination=1)) as runner,
    ):
        numbers = [await put(db, f"u{n}@b.example", sender="") for n in range(30)]
        runner.wake()
        await drained(db)
        assert peer.connections == 1
        assert len(peer.taken) == 29
        record = await db.read(trace.read, numbers[20])
        assert record is not None
        said = record.events[-1].data["lines"]
        assert said[0].startswith("C: MAIL FROM:<>")
        assert said[-1] == "S: 250 2.0.0 kept"
        assert sum(line.startswith("C: RCPT") for line in said) == 1, (
            "each record tells of its own message only"
        )


async def test_hooks_hear_of_each_attempt(db: Database) -> None:
    heard: list[AttemptFinished] = []

    @on(AttemptFinished)
    async def listen(event: AttemptFinished) -> None:
        heard.append(event)

    hooks = Hooks([Hook("listen", listen, Subscription(AttemptFinished, 5.0, "pass"), True)])
    replies: Any = {"RCPT TO:<no@": b"550 5.1.1 no such user\r\n"}
    async with Peer(replies=replies) as peer, running(db, peer, hooks=hooks) as runner:
        number = await put(db, "no@b.example", "yes@b.example", sender="")
        runner.wake()
        await drained(db)
        await hooks.close()
    (event,) = heard
    assert (event.queue_id, event.destination, event.host) == (number, "b.example", "mx.b.example")
    assert [(found.recipient, found.outcome, found.status) for found in event.results] == [
        ("no@b.example", "failed", "5.1.1"),
        ("yes@b.example", "sent", "2.0.0"),
    ]


async def test_a_message_whose_content_is_damaged_does_not_stop_the_others(db: Database) -> None:
    async with Peer() as peer:
        number = await put(db, "one@b.example", content=CONTENT + b"damaged\r\n")
        blob = await db.read(lambda tx: tx.one("SELECT blob FROM queue_messages WHERE id = ?", number))
        assert blob is not None
        await db.write(lambda tx: tx.blobs.release(tx, blob[0]))
        await put(db, "two@b.example")
        async with running(db, peer, Rules(breaker=RULES.breaker)):
            await until(lambda: len(peer.taken) == 1)
            async with asyncio.timeout(60):
                while (await db.read(lambda tx: tx.all("SELECT last_status FROM queue_recipients"))) != [
                    ("4.3.0",)
                ]:
                    await asyncio.sleep(0.02)
        assert peer.taken[0].recipients == ["RCPT TO:<two@b.example>"]
