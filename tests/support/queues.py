"""Messages for tests of the queue."""

from __future__ import annotations

from mailwright.queue import intake
from mailwright.queue.model import Rules
from mailwright.queue.values import NewMessage, NewRecipient
from mailwright.store.db.api import Transaction

CONTENT = (
    b"From: alice@us.example\r\nTo: bob@b.example\r\nSubject: Hello\r\n"
    b"Message-ID: <1@us.example>\r\n\r\nHello\r\n"
)


def no_upload(*_: object) -> object:
    raise AssertionError("small content is not uploaded")


def keep(tx: Transaction, content: bytes = CONTENT) -> int:
    """A reference to small content."""
    return tx.blobs.keep(tx, tx.blobs.prepare((content,), len(content), no_upload), 1_700_000_000)


def enqueue(
    tx: Transaction,
    now: float,
    *addresses: str | NewRecipient,
    account: int = 0,
    sender: str = "alice@us.example",
    rules: Rules | None = None,
    content: bytes = CONTENT,
    **more: object,
) -> int:
    """Queue a small message for these recipients; its queue id."""
    message = new_message(tx, now, *addresses, account=account, sender=sender, content=content, **more)
    return intake.enqueue(tx, message, now, rules or Rules())


def new_message(
    tx: Transaction,
    now: float,
    *addresses: str | NewRecipient,
    account: int = 0,
    sender: str = "alice@us.example",
    content: bytes = CONTENT,
    **more: object,
) -> NewMessage:
    """A small message for these recipients, its content kept."""
    recipients = tuple(a if isinstance(a, NewRecipient) else NewRecipient(a) for a in addresses)
    return NewMessage(
        blob=keep(tx, content),
        size=len(content),
        reverse_path=sender,
        recipients=recipients,
        received_at=now,
        account=account,
        message_id="1@us.example",
        **more,  # type: ignore[arg-type]
    )
