"""Into the mailboxes and the queue, in one transaction: all that one message becomes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from mailwright.directory.resolve import Destination
from mailwright.queue.model import Rules, enqueue
from mailwright.queue.values import NewMessage
from mailwright.store import messages
from mailwright.store.db.api import Transaction
from mailwright.store.errors import NoSuchMailbox, OverQuota
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
        queue_ids.append(enqueue(tx, dataclasses.replace(item.message, blob=blob), now, rules))
    return failed, queue_ids


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
