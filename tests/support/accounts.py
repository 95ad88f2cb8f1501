"""Accounts and messages for tests of the store."""

from __future__ import annotations

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
    return PreparedMessage(
        blob=db.blobs.prepare((content,), len(content), db.write_now),
        size=len(content),
        sent_at=None,
        attachment=False,
        envelope=b"()",
        bodystructure=b"()",
        structure=b"",
        preview="",
        subject="",
        senders="",
        recipients="",
        copies="",
        thread_keys=message_ids,
    )
