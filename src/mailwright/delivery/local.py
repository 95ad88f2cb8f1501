"""Into the mailboxes and the queue, in one transaction: all that one message becomes."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from mailwright.delivery import trace
from mailwright.directory.errors import DirectoryError, NotFound, NotLocal
from mailwright.directory.resolve import Destination, resolve
from mailwright.queue.model import Rules, enqueue
from mailwright.queue.values import NewMessage, NewRecipient
from mailwright.store import messages
from mailwright.store.db.api import Transaction
from mailwright.store.errors import NoSuchMailbox, OverQuota
from mailwright.store.incoming import prepare_small
from mailwright.store.messages import PreparedMessage


@dataclass(frozen=True)
class Outbound:
    """A message for elsewhere: `message.blob` is filled in when its content is kept."""

    content: PreparedMessage
    message: NewMessage


def deliver(
    tx: Transaction,
    content: PreparedMessage | None,
    destinations: Sequence[Destination],
    outbound: Sequence[Outbound],
    rules: Rules,
    *,
    now: float,
    enforce_quota: bool,
) -> tuple[dict[int, str], list[int]]:
    """Put a message into the INBOX of each account, and into the queue.

    The accounts that could not take it with a reason ('quota' or 'gone'), and the queue ids.
    """
    failed: dict[int, str] = {}
    if content is not None:
        for destination in destinations:
            try:
                _deliver_one(tx, content, destination, int(now), enforce_quota)
            except OverQuota:
                failed[destination.account] = "quota"
            except NoSuchMailbox:
                failed[destination.account] = "gone"
    queue_ids = []
    for item in outbound:
        blob = tx.blobs.keep(tx, item.content.blob, int(now))
        message = dataclasses.replace(item.message, blob=blob, language=_language(tx, item.message.account))
        queue_ids.append(enqueue(tx, message, now, rules))
    return failed, queue_ids


def _language(tx: Transaction, account: int) -> str:
    """In which the account reads its reports."""
    row = tx.one("SELECT language FROM accounts WHERE id = ?", account) if account else None
    return str(row[0]) if row is not None else "en"


def _deliver_one(
    tx: Transaction, content: PreparedMessage, destination: Destination, now: int, enforce_quota: bool
) -> None:
    row = tx.one("SELECT id FROM mailboxes WHERE account = ? AND name = 'INBOX'", destination.account)
    if row is None:
        raise NoSuchMailbox("the account was removed")
    room = messages.read_room(tx, destination.account) if enforce_quota else None
    if room is not None and room < content.size:
        raise OverQuota("the account has no room for this message")
    messages.add(tx, destination.account, int(row[0]), content, now=now, enforce_quota=False)


def keep_report(
    tx: Transaction, address: str, content: bytes, rules: Rules, now: float, separator: str
) -> bool:
    """Put a report of our own into the mailboxes behind an address of ours; False when it is none.

    What is full or disabled is passed over: of a report's fate nobody is told.
    """
    try:
        resolution = resolve(tx, address, separator)
    except NotLocal:
        return False
    except (DirectoryError, NotFound):
        return True
    message = prepare_small(tx.blobs, trace.return_path("") + content)
    for destination in resolution.accounts:
        with contextlib.suppress(NoSuchMailbox):
            _deliver_one(tx, message, destination, int(now), enforce_quota=False)
    if resolution.remote:
        outbound = NewMessage(
            blob=tx.blobs.keep(tx, message.blob, int(now)),
            size=message.size,
            reverse_path="",
            recipients=tuple(NewRecipient(target) for target in resolution.remote),
            received_at=now,
            origin=f"forwarded for {address}",
        )
        enqueue(tx, outbound, now, rules)
    return True
