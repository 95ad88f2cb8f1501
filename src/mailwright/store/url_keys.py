"""The keys that sign URLs of messages (RFC 4467): one for each account and mailbox. Without its key a URL is void."""

from __future__ import annotations

import secrets

from mailwright.store.acl import Access
from mailwright.store.db.api import Transaction


def take_key(tx: Transaction, account: int, access: Access) -> bytes:
    """The key of an account for a mailbox, made when it is first asked for; run it as a write."""
    tx.run(
        "INSERT INTO url_keys (account, owner, mailbox, secret) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        account,
        access.account,
        access.mailbox.id,
        secrets.token_bytes(32),
    )
    key = find_key(tx, account, access)
    assert key is not None
    return key


def find_key(tx: Transaction, account: int, access: Access) -> bytes | None:
    row = tx.one(
        "SELECT secret FROM url_keys WHERE account = ? AND owner = ? AND mailbox = ?",
        account,
        access.account,
        access.mailbox.id,
    )
    return None if row is None else bytes(row[0])


def forget_key(tx: Transaction, account: int, access: Access) -> None:
    """Make void what the account has signed for one mailbox."""
    tx.run(
        "DELETE FROM url_keys WHERE account = ? AND owner = ? AND mailbox = ?",
        account,
        access.account,
        access.mailbox.id,
    )


def forget_keys(tx: Transaction, account: int) -> None:
    """Make void all that the account has signed."""
    tx.run("DELETE FROM url_keys WHERE account = ?", account)


def find_signer(tx: Transaction, address: str) -> int | None:
    """The account of an address in its normal form, as long as it may be used."""
    row = tx.one("SELECT id FROM accounts WHERE address = ? AND disabled = 0", address)
    return None if row is None else int(row[0])
