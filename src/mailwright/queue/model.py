"""The queue in the store: claim under a lease, record what became of it. All are store operations."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from mailwright.queue import lanes, trace, usage
from mailwright.queue.limits import BreakerLimits
from mailwright.queue.planner import RETRY, Claim, Lane
from mailwright.queue.routes import Router
from mailwright.queue.schedule import Schedule
from mailwright.queue.values import NOTIFY_SUCCESS, Message, Outcome, Recipient, Result
from mailwright.store import changes
from mailwright.store.db.api import Presence, Transaction
from mailwright.store.db.insert import select, select_tuples
from mailwright.store.errors import StoreError

GRACE: Final = 900.0  # the last attempt at the time of expiry may take so long before the sweep ends it
IN_MEMORY: Final = 32 * 1024  # content up to this size is read along with a claim
_MANY: Final = 400  # values in one IN (...)


@dataclass(frozen=True)
class Rules:
    """What the configuration says about the queue."""

    schedule: Schedule = field(default_factory=Schedule)
    breaker: BreakerLimits = field(default_factory=BreakerLimits)
    router: Router = field(default_factory=Router)


class Claimed(NamedTuple):
    """Recipients of one lane and message that are leased to us."""

    lane: Lane
    message: Message
    recipients: tuple[Recipient, ...]


class Finding(NamedTuple):
    """The results of one attempt of one message. `event` goes to the causal record; `retry_at` to each deferral."""

    lane: Lane
    message: Message
    at: float
    results: tuple[tuple[Recipient, Result, float | None], ...]  # the time of the next attempt; None: no more
    event: dict[str, object]

    @property
    def recipients(self) -> tuple[Recipient, ...]:
        return tuple(recipient for recipient, _, _ in self.results)


class Notice(NamedTuple):
    """Recipients of a message of whose fate its sender may have asked to hear."""

    message: Message
    results: tuple[tuple[Recipient, Result], ...]


# Makes and hands on the reports, within the transaction of the results.
Reporter = Callable[[Transaction, Notice, float], None]


def deadline(schedule: Schedule, received_at: float, expires_at: float, *, warned: bool) -> float:
    at = schedule.deadline(received_at, expires_at, warned=warned)
    return at if at < expires_at else expires_at + GRACE


# Claiming


# What is chosen stands apart: within a condition PostgreSQL may choose again for each row it looks at, and skips what
# it has just changed, so that it would take all there is.
_CLAIM: Final = (
    "WITH chosen AS MATERIALIZED (SELECT message, n FROM queue_recipients"
    " WHERE held = 0 AND owner = '' AND tier = ? AND destination = ? AND account = ? AND due_at <= ?"
    " ORDER BY due_at LIMIT ?{})"
    " UPDATE queue_recipients SET owner = ?, due_at = ? WHERE (message, n) IN (SELECT message, n FROM chosen)"
    " RETURNING message, n, address, orcpt, notify, attempts, warned"
)


def claim(tx: Transaction, owner: str, claims: Sequence[Claim], now: float, lease: float) -> list[Claimed]:
    """Lease what the claims ask for, until `now + lease`, the longest due first."""
    found: list[tuple[Lane, int, list[Recipient]]] = []
    for lane, count in claims:
        rows = tx.all(
            _CLAIM.format(tx.dialect.skip_locked),
            lane.tier,
            lane.destination,
            lane.account,
            now,
            count,
            owner,
            now + lease,
        )
        messages: dict[int, list[Recipient]] = {}
        for message, n, address, orcpt, notify, attempts, warned in sorted(rows):
            recipient = Recipient(n, address, orcpt, notify, attempts, bool(warned))
            messages.setdefault(message, []).append(recipient)
        found.extend((lane, message, recipients) for message, recipients in messages.items())
    lanes.refresh(tx, [lane for lane, _ in claims], now)
    messages_by_id = read_messages(tx, {message for _, message, _ in found})
    return [Claimed(lane, messages_by_id[number], tuple(r)) for lane, number, r in found]


_MESSAGE: Final = (
    "id, account, blob, size, reverse_path, envid, ret, body"
    ", smtputf8, requiretls, language, received_at, expires_at"
)


def read_messages(tx: Transaction, numbers: set[int], *, content: bool = True) -> dict[int, Message]:
    """Messages by their ids; with the content of those that are small."""
    wanted = sorted(numbers)
    messages: dict[int, Message] = {}
    for start in range(0, len(wanted), _MANY):
        part = wanted[start : start + _MANY]
        marks = ", ".join("?" * len(part))
        for row in tx.all(f"SELECT {_MESSAGE} FROM queue_messages WHERE id IN ({marks})", *part):  # noqa: S608
            small = _read_small(tx, row[2]) if content and row[3] <= IN_MEMORY else None
            # The compiled rooms insist on a bool where the database has 0 and 1.
            messages[row[0]] = Message(*row[:8], bool(row[8]), bool(row[9]), *row[10:], small)  # type: ignore[call-arg]
    return messages


def _read_small(tx: Transaction, blob: int) -> bytes | None:
    try:
        return tx.blobs.read_whole(tx, blob)
    except StoreError:
        return None  # one damaged message must not stop the others: its attempt will tell


def extend_leases(
    tx: Transaction, owner: str, leases: Collection[tuple[int, int]], until: float
) -> set[tuple[int, int]]:
    """Keep what `owner` holds of these recipients (message, n) for longer; those that it holds no longer."""
    tx.many(
        "UPDATE queue_recipients SET due_at = ? WHERE message = ? AND n = ? AND owner = ?",
        [(until, message, n, owner) for message, n in leases],
    )
    held = tx.all("SELECT message, n FROM queue_recipients WHERE owner = ? AND owner <> ''", owner)
    return set(leases).difference((int(message), int(n)) for message, n in held)


def end_leases(tx: Transaction, now: float) -> int:
    """Take back what is leased for too long: its process has died, or has forgotten it; how many recipients."""
    rows = tx.all(
        "UPDATE queue_recipients SET owner = '' WHERE owner <> '' AND due_at <= ?"
        " RETURNING tier, account, destination",
        now,
    )
    lanes.touch(tx, ((Lane(*row), now) for row in rows))
    return len(rows)


def release_leases(
    tx: Transaction, owner: str, now: float, only: Sequence[tuple[int, int]] | None = None
) -> int:
    """Give back what `owner` holds, or only some recipients of it (message, n); how many."""
    where = "owner = ? AND owner <> ''"
    if only is None:
        rows = tx.all(
            f"UPDATE queue_recipients SET owner = '', due_at = ? WHERE {where}"  # noqa: S608
            " RETURNING tier, account, destination",
            now,
            owner,
        )
    else:
        rows = []
        for message, n in only:
            rows += tx.all(
                f"UPDATE queue_recipients SET owner = '', due_at = ? WHERE {where} AND message = ? AND n = ?"  # noqa: S608
                " RETURNING tier, account, destination",
                now,
                owner,
                message,
                n,
            )
    lanes.touch(tx, ((Lane(*row), now) for row in rows))
    return len(rows)


def end_leases_of(tx: Transaction, owner: str, presence: Presence, now: float) -> int:
    """Take back what a process holds, if it is dead; how many recipients."""
    return release_leases(tx, owner, now) if presence.bury(tx, owner) else 0


def release_all_leases(tx: Transaction, now: float) -> int:
    """Give back what anybody holds: right only where no other process works on this queue."""
    owners = tx.all("SELECT DISTINCT owner FROM queue_recipients WHERE owner <> ''")
    return sum(release_leases(tx, owner, now) for (owner,) in owners)


# Results


def record(
    tx: Transaction, owner: str, findings: Sequence[Finding], rules: Rules, report: Reporter | None = None
) -> None:
    """Keep the results of attempts, in the causal record too, and have the reports made that they ask for."""
    _hold_told(tx, [f.message for f in findings if any(_is_told(*result) for result in f.results)])
    deferred: list[tuple[Lane, float]] = []
    ended: list[Notice] = []
    stays: set[int] = set()  # blobs of what could not be sent at once
    for finding in findings:
        final: list[tuple[Recipient, Result]] = []
        for recipient, result, retry_at in finding.results:
            if retry_at is None:
                final.append((recipient, result))
            elif _defer(tx, owner, finding, recipient, result, retry_at):
                deferred.append((Lane(RETRY, finding.lane.account, finding.lane.destination), retry_at))
                if not recipient.attempts and finding.message.size <= IN_MEMORY:
                    stays.add(finding.message.blob)
        if final:
            ended.append(Notice(finding.message, tuple(final)))
    if findings:
        now = max(finding.at for finding in findings)
        events = [(finding.message.id, finding.at, finding.event) for finding in findings if finding.event]
        trace.add_all(tx, "attempt", events)
        _finish(tx, ended, now, rules, report)
    _settle(tx, stays)
    lanes.touch(tx, deferred)


def _is_told(recipient: Recipient, result: Result, _retry_at: float | None) -> bool:
    return result.outcome is Outcome.FAILED or bool(recipient.notify & NOTIFY_SUCCESS)


def _hold_told(tx: Transaction, messages: Iterable[Message]) -> None:
    """Hold the accounts that get reports before counters and lanes, as new mail does: so nobody waits in a circle."""
    changes.hold(tx, *{message.account for message in messages})


def _settle(tx: Transaction, blobs: set[int]) -> None:
    for blob in sorted(blobs):
        with contextlib.suppress(StoreError):  # what is damaged is told by its next attempt
            tx.blobs.settle(tx, (blob,))


def _finish(
    tx: Transaction, ended: Sequence[Notice], now: float, rules: Rules, report: Reporter | None
) -> None:
    """Take out recipients with a final result, tell of them, and let go of the messages that are done."""
    ended = _end(tx, ended, now, rules)
    if report is not None:
        for notice in ended:
            report(tx, notice, now)
    remove_if_done(tx, {notice.message.id for notice in ended})


def _defer(
    tx: Transaction, owner: str, finding: Finding, recipient: Recipient, result: Result, retry_at: float
) -> bool:
    """Whether the lease was still ours; if not, another one decides about this recipient."""
    return bool(
        tx.run(
            "UPDATE queue_recipients SET tier = 1, attempts = attempts + 1, due_at = ?, owner = '', last_at = ?,"
            " last_status = ?, last_reply = ?, last_host = ? WHERE message = ? AND n = ? AND owner = ?",
            retry_at,
            finding.at,
            result.status,
            result.text,
            result.host,
            finding.message.id,
            recipient.n,
            owner,
        )
    )


def _end(tx: Transaction, ended: Sequence[Notice], now: float, rules: Rules) -> list[Notice]:
    """Take out recipients, whoever holds the lease by now; those that were still there."""
    pairs = [(notice.message.id, recipient.n) for notice in ended for recipient, _ in notice.results]
    gone = {
        (int(message), int(n))
        for message, n in select_tuples(
            tx, "DELETE FROM queue_recipients WHERE (message, n) IN", pairs, "RETURNING message, n"
        )
    }
    found: list[Notice] = []
    counts: dict[int, usage.Ended] = {}
    for notice in ended:
        message = notice.message
        results = []
        for recipient, result in notice.results:
            if (message.id, recipient.n) not in gone:
                continue
            gone.discard((message.id, recipient.n))  # told once, though it may have ended twice
            results.append((recipient, result))
            count = counts.setdefault(message.account, usage.Ended())
            if result.outcome is Outcome.FAILED:
                count.failed.append((recipient.address, result))
            else:
                count.delivered += 1
        if results:
            found.append(Notice(message, tuple(results)))
    counts.pop(0, None)
    usage.count_ended(tx, counts, now, rules.breaker)
    return found


def remove_if_done(tx: Transaction, numbers: Iterable[int]) -> None:
    """Take out those messages that have no recipients left, and let go of their content.

    Who took recipients out tells the causal record of it first: two who take the last ones at the same time meet there.
    """
    rows = select(
        tx,
        "DELETE FROM queue_messages WHERE NOT EXISTS"
        " (SELECT 1 FROM queue_recipients WHERE message = queue_messages.id) AND id IN",
        sorted(numbers),
        "RETURNING blob",
    )
    counts = Counter(int(blob) for (blob,) in rows)
    tx.blobs.release_all(tx, counts)
    for blob, count in counts.items():
        for _ in range(count - 1):
            tx.blobs.release(tx, blob)


def sweep(tx: Transaction, now: float, rules: Rules, report: Reporter | None = None, limit: int = 200) -> int:
    """Warn the senders of what is late and end what has expired, attempted or not; how many recipients.

    Leases that have ended are taken back, and count too.
    """
    ended = end_leases(tx, now)
    rows = tx.all(
        "SELECT message, n, address, orcpt, notify, attempts, warned, last_status, last_reply, last_host"  # noqa: S608
        " FROM queue_recipients WHERE held = 0 AND deadline_at <= ? AND owner = ''"
        f" ORDER BY deadline_at LIMIT ?{tx.dialect.skip_locked}",  # what another one sweeps or tries is his
        now,
        limit,
    )
    messages = read_messages(tx, {row[0] for row in rows}, content=False)
    _hold_told(tx, messages.values())
    late: dict[int, list[tuple[Recipient, Result]]] = {}
    for number, n, address, orcpt, notify, attempts, warned, status, reply, host in rows:
        recipient = Recipient(n, address, orcpt, notify, attempts, bool(warned))
        result = Result(Outcome.DEFERRED, "connect", status or "4.4.7", reply or _NEVER_TRIED, 0, host)
        late.setdefault(number, []).append((recipient, result))
    for number, recipients in late.items():
        message = messages[number]
        if now >= message.expires_at:
            expire(tx, message, recipients, now, rules, report)
        else:
            _warn(tx, message, recipients, now, rules, report)
    return ended + len(rows)


_NEVER_TRIED: Final = "the servers of this domain could not be reached"


def expire(
    tx: Transaction,
    message: Message,
    recipients: Sequence[tuple[Recipient, Result]],
    now: float,
    rules: Rules,
    report: Reporter | None,
) -> None:
    """End recipients for which the time is over."""
    ended = tuple(
        (recipient, Result(Outcome.FAILED, "expired", "5.4.7", result.text, result.code, result.host))
        for recipient, result in recipients
    )
    addresses = [recipient.address for recipient, _ in recipients]
    trace.add(tx, message.id, now, "expired", {"recipients": addresses})
    _finish(tx, [Notice(message, ended)], now, rules, report)


def _warn(
    tx: Transaction,
    message: Message,
    recipients: Sequence[tuple[Recipient, Result]],
    now: float,
    rules: Rules,
    report: Reporter | None,
) -> None:
    late = deadline(rules.schedule, message.received_at, message.expires_at, warned=True)
    tx.many(
        "UPDATE queue_recipients SET warned = 1, deadline_at = ? WHERE message = ? AND n = ?",
        [(late, message.id, recipient.n) for recipient, _ in recipients],
    )
    trace.add(
        tx, message.id, now, "delayed", {"recipients": [recipient.address for recipient, _ in recipients]}
    )
    if report is not None:
        report(tx, Notice(message, tuple(recipients)), now)
