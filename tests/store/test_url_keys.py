"""The keys of signed URLs, over every database."""

from __future__ import annotations

from support.accounts import new_account

from mailwright.store import acl, mailboxes
from mailwright.store.db.api import Database, Transaction
from mailwright.store.url_keys import find_key, find_signer, forget_key, forget_keys, take_key


async def key(db: Database, account: int, name: str, *, take: bool = False) -> bytes | None:
    def operation(tx: Transaction) -> bytes | None:
        access = acl.resolve(tx, account, name)
        return take_key(tx, account, access) if take else find_key(tx, account, access)

    return await db.write(operation)


async def address_of(db: Database, account: int) -> str:
    [(address,)] = await db.read(lambda tx: tx.all("SELECT address FROM accounts WHERE id = ?", account))
    return str(address)


async def test_a_key_stays_until_it_is_reset(db: Database, account: int) -> None:
    assert await key(db, account, "INBOX") is None
    first = await key(db, account, "INBOX", take=True)
    assert first is not None
    assert len(first) == 32
    assert await key(db, account, "INBOX", take=True) == first
    assert await key(db, account, "Sent", take=True) not in (None, first)
    await db.write(lambda tx: forget_key(tx, account, acl.resolve(tx, account, "INBOX")))
    assert await key(db, account, "INBOX") is None
    assert await key(db, account, "Sent") is not None
    assert await key(db, account, "INBOX", take=True) != first
    await db.write(forget_keys, account)
    assert await key(db, account, "Sent") is None


async def test_each_account_has_a_key_of_its_own_for_a_shared_mailbox(db: Database, account: int) -> None:
    address = f"reader-of-{account}@example.org"
    reader = await db.write(new_account, address)
    owner = await address_of(db, account)
    await db.write(acl.set_acl, account, "INBOX", address, "", "lr")
    shared = f"Other Users/{owner}/INBOX"
    keys = {await key(db, account, "INBOX", take=True), await key(db, reader, shared, take=True)}
    assert len(keys) == 2
    await db.write(forget_keys, reader)
    assert await key(db, reader, shared) is None
    assert await key(db, account, "INBOX") in keys


async def test_a_deleted_mailbox_and_a_removed_account_take_their_keys_along(
    db: Database, account: int
) -> None:
    await key(db, account, "Sent", take=True)
    await key(db, account, "INBOX", take=True)
    await db.write(mailboxes.delete_mailbox, account, "Sent")
    count = "SELECT count(*) FROM url_keys WHERE account = ?"
    assert await db.read(lambda tx: tx.one(count, account)) == (1,)
    await db.write(acl.forget_account, account, "somebody@example.org")
    assert await db.read(lambda tx: tx.one(count, account)) == (0,)


async def test_only_an_account_that_may_be_used_signs(db: Database, account: int) -> None:
    address = await address_of(db, account)
    assert await db.read(find_signer, address) == account
    assert await db.read(find_signer, "nobody@example.org") is None
    await db.write(lambda tx: tx.run("UPDATE accounts SET disabled = 1 WHERE id = ?", account))
    assert await db.read(find_signer, address) is None
