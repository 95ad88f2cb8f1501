"""How messages come into the queue. All are store operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mailwright.queue import lanes, trace, usage
from mailwright.queue.model import IN_MEMORY, Claimed, Rules, deadline
from mailwright.queue.planner import FRESH, Lane
from mailwright.queue.values import Message, NewMessage, Recipient
from mailwright.store.db.api import Transaction, Value
from mailwright.store.db.insert import insert


@dataclass(frozen=True)
class Lease:
    """Under which new mail for some destinations is queued as claimed already: it is about to be sent."""

    owner: str
    until: float
    destinations: frozenset[str]


class Queued(NamedTuple):
    """A message in the queue. `claimed` is what its lease covers; `waits` tells whether there is more of it."""

    id: int
    claimed: tuple[Claimed, ...] = ()
    waits: bool = True


class Entry(NamedTuple):
    """A message on its way into the queue. `content` saves reading it again, where there is a lease."""

    message: NewMessage
    lease: Lease | None = None
    content: bytes | None = None


def enqueue(tx: Transaction, message: NewMessage, now: float, rules: Rules) -> int:
    """Queue a message; its queue id. Call it in the transaction that accepts the message."""
    return enqueue_all(tx, (Entry(message),), now, rules)[0].id


def enqueue_all(tx: Transaction, entries: Sequence[Entry], now: float, rules: Rules) -> list[Queued]:
    """Queue messages; call it in the transaction that accepts them."""
    new = [entry.message for entry in entries]
    numbers = trace.begin_all(tx, now, new)
    messages = [_queued(number, entry, rules) for number, entry in zip(numbers, entries, strict=True)]
    insert(tx, _MESSAGES, [_message_row(message) for message in messages])
    held = usage.count_sent(tx, new, now, rules.breaker)
    rows: list[Sequence[Value]] = []
    due: dict[Lane, float] = {}
    queued = []
    for message, entry in zip(messages, entries, strict=True):
        queued.append(
            _add_recipients(rows, due, message, entry, now, rules, held=entry.message.account in held)
        )
    insert(tx, _RECIPIENTS, rows)
    lanes.touch(tx, due.items())
    return queued


_MESSAGES = (
    "queue_messages (id, account, blob, size, reverse_path, envid, ret, body, smtputf8, requiretls, language,"
    " received_at, expires_at)"
)
_RECIPIENTS = (
    "queue_recipients (message, n, account, tier, destination, address, orcpt, notify, attempts, due_at,"
    " deadline_at, warned, held, owner, last_at, last_status, last_reply, last_host)"
)


def _queued(number: int, entry: Entry, rules: Rules) -> Message:
    new, content = entry.message, entry.content
    small = content is not None and len(content) <= IN_MEMORY
    expires_at = new.expires_at or rules.schedule.expires_at(new.received_at)
    return Message(
        number, new.account, new.blob, new.size, new.reverse_path, new.envid, new.ret, new.body, new.smtputf8,
        new.requiretls, new.language, new.received_at, expires_at, content if small else None,
    )  # fmt: skip


def _message_row(message: Message) -> Sequence[Value]:
    return (
        message.id, message.account, message.blob, message.size, message.reverse_path, message.envid, message.ret,
        message.body, int(message.smtputf8), int(message.requiretls), message.language, message.received_at,
        message.expires_at,
    )  # fmt: skip


def _add_recipients(
    rows: list[Sequence[Value]],
    due: dict[Lane, float],
    message: Message,
    entry: Entry,
    now: float,
    rules: Rules,
    *,
    held: bool,
) -> Queued:
    """Add the rows of a message's recipients, and the lanes in which some wait."""
    lease = entry.lease
    account = message.account
    late = deadline(rules.schedule, message.received_at, message.expires_at, warned=False)
    claims: dict[str, list[Recipient]] = {}
    waits = False
    for n, new in enumerate(entry.message.recipients):
        destination = rules.router.destination(message.reverse_path, new.address)
        owner, due_at = "", now
        if lease is not None and not held and destination in lease.destinations:
            owner, due_at = lease.owner, lease.until
            recipient = Recipient(n, new.address, new.orcpt, new.notify, 0, False)
            claims.setdefault(destination, []).append(recipient)
        else:
            waits = True
            if not held:
                due[Lane(FRESH, account, destination)] = now
        rows.append((
            message.id, n, account, 0, destination, new.address, new.orcpt, new.notify, 0, due_at,
            late, 0, int(held), owner, 0, "", "", "",
        ))  # fmt: skip
    claimed = [
        Claimed(Lane(FRESH, account, destination), message, tuple(recipients))
        for destination, recipients in claims.items()
    ]
    return Queued(message.id, tuple(claimed), waits)
