"""The queue in the store: enqueue, claim under a lease, record what became of it. All are store operations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from mailwright.queue import trace, usage
from mailwright.queue.limits import BreakerLimits
from mailwright.queue.planner import FRESH, RETRY, Claim, Lane
from mailwright.queue.routes import Router
from mailwright.queue.schedule import Schedule
from mailwright.queue.values import Message, NewMessage, Outcome, Recipient, Result
from mailwright.store.db.api import Row, Transaction

ANY_ACCOUNT: Final = -1
ANY_DESTINATION: Final = "*"
GRACE: Final = 900.0  # the last attempt at the time of expiry may take so long before the sweep ends it
IN_MEMORY: Final = 32 * 1024  # content up to this size is read along with a claim
_MANY: Final = 400  # values in one IN (...)


@dataclass(frozen=True)
class Rules:
    """What the configuration says about the queue."""

    schedule: Schedule = field(default_factory=Schedule)
    breaker: BreakerLimits = field(default_factory=BreakerLimits)
    router: Router = field(default_factory=Router)


@dataclass(frozen=True)
class Claimed:
    """Recipients of one lane and message that are leased to us."""

    lane: Lane
    message: Message
    recipients: tuple[Recipient, ...]


@dataclass(frozen=True)
class Finding:
    """The results of one attempt of one message. `event` goes to the causal record; `retry_at` to each deferral."""

    lane: Lane
    message: Message
    at: float
    results: tuple[tuple[Recipient, Result, float | None], ...]  # the time of the next attempt; None: no more
    event: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Notice:
    """Recipients of a message of whose fate its sender may have asked to hear."""

    message: Message
    results: tuple[tuple[Recipient, Result], ...]


# Makes and hands on the reports, within the transaction of the results.
Reporter = Callable[[Transaction, Notice, float], None]


# Coming in


def enqueue(tx: Transaction, message: NewMessage, now: float, rules: Rules) -> int:
    """Queue a message; its queue id. Call it in the transaction that accepts the message."""
    number = message.trace or trace.begin(
        tx, now, message.account, message.message_id, message.reverse_path, {"origin": message.origin}
    )
    schedule = rules.schedule
    expires_at = message.expires_at or schedule.expires_at(message.received_at)
    tx.run(
        "INSERT INTO queue_messages (id, account, blob, size, reverse_path, envid, ret, body, smtputf8, requiretls,"
        " language, received_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        number,
        message.account,
        message.blob,
        message.size,
        message.reverse_path,
        message.envid,
        message.ret,
        message.body,
        int(message.smtputf8),
        int(message.requiretls),
        message.language,
        message.received_at,
        expires_at,
    )
    addresses = [recipient.address for recipient in message.recipients]
    trace.add_keys(tx, number, addresses)
    held = message.account != 0 and usage.count_sent(tx, message.account, addresses, now, rules.breaker)
    deadline = _deadline(schedule, message.received_at, expires_at, warned=False)
    destinations = [rules.router.destination(message.reverse_path, address) for address in addresses]
    tx.many(
        "INSERT INTO queue_recipients (message, n, account, tier, destination, address, orcpt, notify, attempts,"
        " due_at, deadline_at, warned, held, owner, last_at, last_status, last_reply, last_host)"
        " VALUES (?, ?, ?, 0, ?, ?, ?, ?, 0, ?, ?, 0, ?, '', 0, '', '', '')",
        [
            (number, n, message.account, destination, r.address, r.orcpt, r.notify, now, deadline, int(held))
            for n, (r, destination) in enumerate(zip(message.recipients, destinations, strict=True))
        ],
    )
    if not held:
        touch(tx, ((Lane(FRESH, message.account, destination), now) for destination in set(destinations)))
    return number


def touch(tx: Transaction, lanes: Iterable[tuple[Lane, float]]) -> None:
    """Something in these lanes is due at these times."""
    rows: dict[tuple[int, int, str], float] = {}
    for (tier, account, destination), at in lanes:
        sums = (
            (tier, account, destination),
            (tier, account, ANY_DESTINATION),
            (tier, ANY_ACCOUNT, destination),
        )
        for key in sums:
            rows[key] = min(at, rows.get(key, at))
    # In one order everywhere, so that two processes do not wait for each other.
    tx.many(
        "INSERT INTO queue_lanes (tier, account, destination, next_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (tier, account, destination) DO UPDATE SET next_at = excluded.next_at"
        " WHERE queue_lanes.next_at > excluded.next_at",
        [(*key, rows[key]) for key in sorted(rows)],
    )


def _deadline(schedule: Schedule, received_at: float, expires_at: float, *, warned: bool) -> float:
    at = schedule.deadline(received_at, expires_at, warned=warned)
    return at if at < expires_at else expires_at + GRACE


# Claiming


def due_lanes(
    tx: Transaction,
    now: float,
    full_destinations: Sequence[str],
    full_accounts: Sequence[int],
    limit: int = 64,
) -> list[Lane]:
    """Lanes in which something is due, those that waited longest first, fair to accounts and to destinations."""
    lanes: list[list[Lane]] = []
    for tier in (FRESH, RETRY):
        lanes.append(_due_by(tx, _BY_ACCOUNT, tier, now, full_accounts, full_destinations, limit))
        lanes.append(_due_by(tx, _BY_DESTINATION, tier, now, full_destinations, full_accounts, limit))
    ordered: dict[Lane, None] = {}
    for n in range(max(len(row) for row in lanes)):
        for row in lanes:
            if n < len(row):
                ordered[row[n]] = None
    return list(ordered)


_BY_ACCOUNT: Final = ("account", "destination", ANY_DESTINATION)
_BY_DESTINATION: Final = ("destination", "account", ANY_ACCOUNT)


def _due_by(
    tx: Transaction,
    words: tuple[str, str, str | int],
    tier: int,
    now: float,
    full: Sequence[str | int],
    full_others: Sequence[str | int],
    limit: int,
) -> list[Lane]:
    """The due lanes of the `limit` keys that waited longest; each key gives its share of them."""
    key, other, sums = words
    heads = tx.all(
        f"SELECT {key} FROM queue_lanes WHERE tier = ? AND {other} = ? AND next_at <= ?"  # noqa: S608
        f"{_not_in(key, full)} ORDER BY next_at LIMIT ?",
        tier,
        sums,
        now,
        *full[:_MANY],
        limit,
    )
    share = max(1, limit // len(heads)) if heads else 0
    columns: list[list[Row]] = [
        tx.all(
            f"SELECT tier, account, destination FROM queue_lanes WHERE tier = ? AND {key} = ?"  # noqa: S608
            " AND next_at <= ?"
            f" AND {other} <> ?{_not_in(other, full_others)} ORDER BY next_at LIMIT ?",
            tier,
            head,
            now,
            sums,
            *full_others[:_MANY],
            share,
        )
        for (head,) in heads
    ]
    return [Lane(*rows[n]) for n in range(share) for rows in columns if n < len(rows)]


def _not_in(column: str, values: Sequence[object]) -> str:
    marks = ", ".join("?" * min(len(values), _MANY))
    return f" AND {column} NOT IN ({marks})" if values else ""


def next_due(tx: Transaction) -> float | None:
    """When the next recipient is due or a deadline passes; None for an empty queue. It may be early."""
    times = [
        tx.one(
            "SELECT next_at FROM queue_lanes WHERE tier = ? AND destination = ? ORDER BY next_at LIMIT 1",
            tier,
            ANY_DESTINATION,
        )
        for tier in (FRESH, RETRY)
    ]
    times.append(
        tx.one("SELECT deadline_at FROM queue_recipients WHERE held = 0 ORDER BY deadline_at LIMIT 1")
    )
    return min((float(row[0]) for row in times if row is not None), default=None)


_CLAIM: Final = (
    "UPDATE queue_recipients SET owner = ?, due_at = ? WHERE (message, n) IN (SELECT message, n FROM queue_recipients"
    " WHERE held = 0 AND tier = ? AND destination = ? AND account = ? AND due_at <= ? ORDER BY due_at LIMIT ? {})"
    " RETURNING message, n, address, orcpt, notify, attempts, warned"
)


def claim(tx: Transaction, owner: str, claims: Sequence[Claim], now: float, lease: float) -> list[Claimed]:
    """Lease what the claims ask for, until `now + lease`, the longest due first."""
    found: list[tuple[Lane, int, list[Recipient]]] = []
    for lane, count in claims:
        rows = tx.all(
            _CLAIM.format(tx.dialect.skip_locked),
            owner,
            now + lease,
            lane.tier,
            lane.destination,
            lane.account,
            now,
            count,
        )
        messages: dict[int, list[Recipient]] = {}
        for message, n, address, orcpt, notify, attempts, warned in sorted(rows):
            recipient = Recipient(n, address, orcpt, notify, attempts, bool(warned))
            messages.setdefault(message, []).append(recipient)
        found.extend((lane, message, recipients) for message, recipients in messages.items())
    refresh(tx, [lane for lane, _ in claims], now)
    messages_by_id = read_messages(tx, {message for _, message, _ in found})
    return [Claimed(lane, messages_by_id[number], tuple(r)) for lane, number, r in found]


def refresh(tx: Transaction, lanes: Sequence[Lane], now: float) -> None:
    """Set the lanes to their next time, at least `now`: who was served goes behind those who wait."""
    for lane in lanes:
        row = tx.one(
            "SELECT due_at FROM queue_recipients WHERE held = 0 AND tier = ? AND destination = ? AND account = ?"
            " ORDER BY due_at LIMIT 1",
            lane.tier,
            lane.destination,
            lane.account,
        )
        _set_lane(tx, lane.tier, lane.account, lane.destination, row, now)
    for tier, account in sorted({(lane.tier, lane.account) for lane in lanes}):
        _refresh_sum(tx, tier, "account", account, "destination", ANY_DESTINATION, now)
    for tier, destination in sorted({(lane.tier, lane.destination) for lane in lanes}):
        _refresh_sum(tx, tier, "destination", destination, "account", ANY_ACCOUNT, now)


def _refresh_sum(
    tx: Transaction, tier: int, key: str, value: int | str, other: str, sums: int | str, now: float
) -> None:
    row = tx.one(
        f"SELECT next_at FROM queue_lanes WHERE tier = ? AND {key} = ? AND {other} <> ?"  # noqa: S608
        " ORDER BY next_at LIMIT 1",
        tier,
        value,
        sums,
    )
    account, destination = (value, sums) if key == "account" else (sums, value)
    _set_lane(tx, tier, int(account), str(destination), row, now)


def _set_lane(
    tx: Transaction, tier: int, account: int, destination: str, first: Row | None, now: float
) -> None:
    where = "WHERE tier = ? AND account = ? AND destination = ?"
    if first is None:
        tx.run(f"DELETE FROM queue_lanes {where}", tier, account, destination)  # noqa: S608
    else:
        at = max(float(first[0]), now)
        tx.run(f"UPDATE queue_lanes SET next_at = ? {where}", at, tier, account, destination)  # noqa: S608


def rest(tx: Transaction, destination: str, until: float) -> None:
    """Let a destination that cannot be reached rest: its lanes are not due before `until`."""
    rows = tx.all(
        "UPDATE queue_lanes SET next_at = ? WHERE tier IN (0, 1) AND destination = ? AND next_at < ?"
        " RETURNING tier, account",
        until,
        destination,
        until,
    )
    for tier, account in sorted(rows):
        if account != ANY_ACCOUNT:
            _refresh_sum(tx, tier, "account", account, "destination", ANY_DESTINATION, 0.0)


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
            small = tx.blobs.read_whole(tx, row[2]) if content and row[3] <= IN_MEMORY else None
            # The compiled rooms insist on a bool where the database has 0 and 1.
            messages[row[0]] = Message(*row[:8], bool(row[8]), bool(row[9]), *row[10:], small)  # type: ignore[call-arg]
    return messages


def extend_leases(tx: Transaction, owner: str, until: float) -> int:
    """Keep what we hold for longer; how many recipients."""
    return tx.run("UPDATE queue_recipients SET due_at = ? WHERE owner = ? AND owner <> ''", until, owner)


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
    touch(tx, ((Lane(*row), now) for row in rows))
    return len(rows)


def release_all_leases(tx: Transaction, now: float) -> int:
    """Give back what anybody holds: right only where no other process works on this queue."""
    owners = tx.all("SELECT DISTINCT owner FROM queue_recipients WHERE owner <> ''")
    return sum(release_leases(tx, owner, now) for (owner,) in owners)


# Results


def record(
    tx: Transaction, owner: str, findings: Sequence[Finding], rules: Rules, report: Reporter | None = None
) -> None:
    """Keep the results of attempts, in the causal record too, and have the reports made that they ask for."""
    deferred: list[tuple[Lane, float]] = []
    for finding in findings:
        message = finding.message
        ended = [(recipient, result) for recipient, result, retry_at in finding.results if retry_at is None]
        for recipient, result, retry_at in finding.results:
            if retry_at is not None and _defer(tx, owner, finding, recipient, result, retry_at):
                deferred.append((Lane(RETRY, finding.lane.account, finding.lane.destination), retry_at))
        if ended:
            ended = _end(tx, message, ended, finding.at, rules)
        if finding.event:
            trace.add(tx, message.id, finding.at, "attempt", finding.event)
        if ended and report is not None:
            report(tx, Notice(message, tuple(ended)), finding.at)
        if ended:
            remove_if_done(tx, message.id)
    if deferred:
        touch(tx, deferred)


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


def _end(
    tx: Transaction, message: Message, ended: Sequence[tuple[Recipient, Result]], now: float, rules: Rules
) -> list[tuple[Recipient, Result]]:
    """Take out recipients with a final result, whoever holds the lease by now; those that were still there."""
    gone = [
        (recipient, result)
        for recipient, result in ended
        if tx.run("DELETE FROM queue_recipients WHERE message = ? AND n = ?", message.id, recipient.n)
    ]
    if message.account and gone:
        failed = [(r.address, result) for r, result in gone if result.outcome is Outcome.FAILED]
        usage.count_ended(tx, message.account, len(gone) - len(failed), failed, now, rules.breaker)
    return gone


def remove_if_done(tx: Transaction, number: int) -> None:
    """Take out a message that has no recipients left, and let go of its content."""
    row = tx.one(
        "DELETE FROM queue_messages WHERE id = ? AND NOT EXISTS"
        " (SELECT 1 FROM queue_recipients WHERE message = ?) RETURNING blob",
        number,
        number,
    )
    if row is not None:
        tx.blobs.release(tx, row[0])


def sweep(tx: Transaction, now: float, rules: Rules, report: Reporter | None = None, limit: int = 200) -> int:
    """Warn the senders of what is late and end what has expired, attempted or not; how many recipients."""
    rows = tx.all(
        "SELECT message, n, address, orcpt, notify, attempts, warned, last_status, last_reply, last_host"
        " FROM queue_recipients WHERE held = 0 AND deadline_at <= ? AND owner = '' ORDER BY deadline_at LIMIT ?",
        now,
        limit,
    )
    messages = read_messages(tx, {row[0] for row in rows}, content=False)
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
    return len(rows)


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
    ended = [
        (recipient, Result(Outcome.FAILED, "expired", "5.4.7", result.text, result.code, result.host))
        for recipient, result in recipients
    ]
    gone = _end(tx, message, ended, now, rules)
    trace.add(tx, message.id, now, "expired", {"recipients": [recipient.address for recipient, _ in gone]})
    if gone and report is not None:
        report(tx, Notice(message, tuple(gone)), now)
    remove_if_done(tx, message.id)


def _warn(
    tx: Transaction,
    message: Message,
    recipients: Sequence[tuple[Recipient, Result]],
    now: float,
    rules: Rules,
    report: Reporter | None,
) -> None:
    deadline = _deadline(rules.schedule, message.received_at, message.expires_at, warned=True)
    tx.many(
        "UPDATE queue_recipients SET warned = 1, deadline_at = ? WHERE message = ? AND n = ?",
        [(deadline, message.id, recipient.n) for recipient, _ in recipients],
    )
    trace.add(
        tx, message.id, now, "delayed", {"recipients": [recipient.address for recipient, _ in recipients]}
    )
    if report is not None:
        report(tx, Notice(message, tuple(recipients)), now)
