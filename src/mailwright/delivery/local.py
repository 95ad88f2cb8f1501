"""Into the mailboxes and the queue, in one transaction: all that messages become."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from mailwright.delivery import reception as receptions
from mailwright.delivery import trace
from mailwright.delivery.reception import Kept, Reception
from mailwright.delivery.routing import IsUs, resolve_ours
from mailwright.delivery.success import Asked, notice
from mailwright.directory.errors import DirectoryError, NotFound, NotLocal
from mailwright.directory.resolve import Destination
from mailwright.queue.intake import Entry, Lease, Queued, enqueue_all
from mailwright.queue.model import IN_MEMORY, Reporter, Rules
from mailwright.queue.values import NewMessage
from mailwright.store import changes
from mailwright.store.arrivals import Arrival, PreparedMessage, Target, add, add_to_each, read_inboxes
from mailwright.store.blobs.api import Blob
from mailwright.store.db.api import Transaction
from mailwright.store.errors import NoSuchAccount
from mailwright.store.incoming import prepare_small
from mailwright.store.model import Room


class Outbound(NamedTuple):
    """A message for elsewhere: `message.blob` is filled in when its content is kept."""

    content: Blob
    message: NewMessage
    lease: Lease | None = None


class Delivery(NamedTuple):
    """All that one message becomes: places in the INBOX of each account, and entries in the queue."""

    content: PreparedMessage | None
    destinations: Sequence[Destination]
    outbound: Sequence[Outbound]
    now: float
    enforce_quota: bool
    reception: Reception
    flags: int = 0  # what its places begin with
    keywords: str = ""
    asked: Asked | None = None  # who is to be told that it is here
    whole: bool = False  # kept for all or for nobody: there is one reply for all


class Outcome(NamedTuple):
    """The accounts that could not take it with a reason ('quota' or 'gone'), and what is in the queue now."""

    failed: dict[int, str]
    queued: list[Queued]


def deliver(
    tx: Transaction, deliveries: Sequence[Delivery], rules: Rules, report: Reporter | None = None
) -> list[Outcome]:
    """Keep messages and their records in one transaction, those for one account as one change to it.

    Raises NoSuchAccount when an account of a message that is `whole` is not there any more.
    """
    outcomes = [Outcome({}, []) for _ in deliveries]
    by_account: dict[int, list[int]] = {}
    for number, delivery in enumerate(deliveries):
        for destination in delivery.destinations:
            by_account.setdefault(destination.account, []).append(number)
    targets: list[Target] = []
    told = [delivery.asked.message.account for delivery in deliveries if delivery.asked is not None]
    if told:
        changes.hold(tx, *by_account, *told)
    inboxes = read_inboxes(tx, by_account)
    for account, numbers in by_account.items():
        if account in inboxes:
            inbox = inboxes[account]
            taken, reasons = _take([deliveries[number] for number in numbers], inbox.room)
            targets.append(Target(inbox, taken))
        elif any(deliveries[number].whole for number in numbers):
            raise NoSuchAccount("an account was removed while its mail came; the sender will try again")
        else:
            reasons = ["gone"] * len(numbers)
        for number, reason in zip(numbers, reasons, strict=True):
            if reason:
                outcomes[number].failed[account] = reason
    if targets:
        add_to_each(tx, targets, now=int(deliveries[0].now), alone=True)
    _enqueue(tx, deliveries, outcomes, rules)
    receptions.keep_all(tx, [_end(*pair) for pair in zip(deliveries, outcomes, strict=True)])
    for delivery, outcome in zip(deliveries, outcomes, strict=True):
        if report is not None and delivery.asked is not None:
            account = delivery.asked.message.account
            language = _languages(tx, {account}).get(account, "en")
            report(tx, notice(delivery.asked, outcome.failed, language), delivery.now)
    return outcomes


def _end(delivery: Delivery, outcome: Outcome) -> Reception:
    """The record of a message with what became of it."""
    failed = outcome.failed
    kept = [
        Kept(found.address, failure=_FAILURES[failed[found.account]] if found.account in failed else "")
        for found in delivery.destinations
    ]
    return delivery.reception.ended(kept, [item.id for item in outcome.queued])


_FAILURES: Final = {"quota": "it is over its quota", "gone": "it was removed"}


def _enqueue(
    tx: Transaction, deliveries: Sequence[Delivery], outcomes: Sequence[Outcome], rules: Rules
) -> None:
    going = [
        (item, outcome)
        for delivery, outcome in zip(deliveries, outcomes, strict=True)
        for item in delivery.outbound
    ]
    if not going:
        return
    now = deliveries[0].now
    blobs = tx.blobs.keep_all(tx, [_as_kept(item) for item, _ in going], int(now), alone=True)
    languages = _languages(tx, {item.message.account for item, _ in going})
    entries = [
        Entry(
            item.message._replace(blob=blob, language=languages.get(item.message.account, "en")),
            item.lease,
            item.content.data,
        )
        for (item, _), blob in zip(going, blobs, strict=True)
    ]
    for (_, outcome), queued in zip(going, enqueue_all(tx, entries, now, rules), strict=True):
        outcome.queued.append(queued)


def _as_kept(item: Outbound) -> Blob:
    """What is small and about to be sent is not compressed, unless it has to wait (`queue.model.record`)."""
    content = item.content
    return content._replace(brief=True) if item.lease is not None and content.size <= IN_MEMORY else content


def _take(deliveries: Sequence[Delivery], room: Room) -> tuple[list[Arrival], list[str]]:
    """What fits into an account, and for each message why it does not, or ''."""
    reasons: list[str] = []
    taken: list[Arrival] = []
    for delivery in deliveries:
        content = delivery.content
        assert content is not None  # it has destinations
        if delivery.enforce_quota and not room.takes(content.size):
            reasons.append("quota")
        else:
            room = room.less(content.size)
            taken.append(Arrival(content, delivery.flags, delivery.keywords))
            reasons.append("")
    return taken, reasons


def _find_inbox(tx: Transaction, account: int) -> int | None:
    row = tx.one("SELECT id FROM mailboxes WHERE account = ? AND name = 'INBOX'", account)
    return int(row[0]) if row is not None else None


def _languages(tx: Transaction, accounts: set[int]) -> dict[int, str]:
    """In which the accounts read their reports."""
    rows = (
        (account, tx.one("SELECT language FROM accounts WHERE id = ?", account))
        for account in accounts
        if account
    )
    return {account: str(row[0]) for account, row in rows if row is not None}


def keep_report(
    tx: Transaction, address: str, content: bytes, now: float, separator: str, is_us: IsUs
) -> tuple[str, ...]:
    """Put a report of our own into the mailboxes behind an address of ours; the addresses elsewhere that are to get it.

    What is full or disabled is passed over: of a report's fate nobody is told.
    """
    try:
        resolution = resolve_ours(tx, address, separator, is_us)
    except NotLocal:
        return (address,)
    except (DirectoryError, NotFound):
        return ()
    message = prepare_small(tx.blobs, trace.return_path("") + content)
    for destination in resolution.accounts:
        inbox = _find_inbox(tx, destination.account)
        if inbox is not None:
            add(tx, destination.account, inbox, message, now=int(now), enforce_quota=False)
    return resolution.remote
