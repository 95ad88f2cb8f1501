"""Accounts and messages for tests of the store."""

from __future__ import annotations

import hashlib

from mailwright.message.summary import Summary
from mailwright.store import mailboxes
from mailwright.store.arrivals import PreparedMessage
from mailwright.store.db.api import Database, Transaction


def new_account(tx: Transaction, address: str) -> int:
    """An account with the default mailboxes; its id."""
    row = tx.one("INSERT INTO accounts (address, created_at) VALUES (?, 1700000000) RETURNING id", address)
    assert row is not None
    account = int(row[0])
    tx.run(
        "INSERT INTO account_state (account, modseq, last_id, bytes, messages) VALUES (?, 0, 0, 0, 0)",
        account,
    )
    mailboxes.create_defaults(tx, account)
    return account


def prepared(db: Database, content: bytes, *message_ids: str) -> PreparedMessage:
    """A small message ready to be added, without having been parsed."""
    ids = [_hash(one) for one in message_ids] or [bytes(8)]
    summary = Summary(
        size=len(content),
        sent_at=None,
        sent_zone=None,
        attachment=False,
        envelope=b"()",
        bodystructure=b"()",
        structure=b"",
        preview="",
        subject="",
        senders="",
        recipients="",
        copies="",
        links=b"\0" + ids[0] + b"".join(reversed(ids[1:])),
        message_id=message_ids[0] if message_ids else "",
    )
    return PreparedMessage(db.blobs.prepare((content,), len(content), db.write_now), summary)


def _hash(message_id: str) -> bytes:
    return hashlib.sha256(message_id.encode()).digest()[:8]
