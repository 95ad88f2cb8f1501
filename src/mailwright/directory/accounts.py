"""Accounts: an address, a set of mailboxes, a quota, and passwords."""

from __future__ import annotations

from dataclasses import dataclass

from mailwright.directory.addresses import normal_address, split
from mailwright.directory.domains import is_local
from mailwright.directory.errors import AlreadyExists, InvalidAddress, NotFound, NotLocal
from mailwright.sasl.secret import ScramSecret
from mailwright.store import acl, changes, mailboxes, messages
from mailwright.store.db.api import Transaction
from mailwright.store.notify.api import logins_of

MAX_APP_PASSWORDS = 20


@dataclass(frozen=True, slots=True)
class Account:
    """An account and what it uses."""

    id: int
    address: str
    display_name: str
    language: str
    disabled: bool
    created_at: int
    bytes: int
    messages: int
    quota_bytes: int | None
    quota_messages: int | None


@dataclass(frozen=True, slots=True)
class Credential:
    """A password of an account: the main one has the name ''."""

    account: int
    name: str
    password_hash: str
    scram: ScramSecret | None


_COLUMNS = (
    "a.id, a.address, a.display_name, a.language, a.disabled, a.created_at,"
    " s.bytes, s.messages, s.quota_bytes, s.quota_messages"
    " FROM accounts a JOIN account_state s ON s.account = a.id"
)


def add_account(
    tx: Transaction,
    address: str,
    *,
    now: int,
    display_name: str = "",
    language: str = "en",
    quota_bytes: int | None = None,
    quota_messages: int | None = None,
) -> Account:
    """Make an account with the usual mailboxes; it has no password yet.

    Raises InvalidAddress, NotLocal when the domain is not ours, AlreadyExists.
    """
    address = normal_address(address)
    local, domain = split(address)
    if local == "*":
        raise InvalidAddress(
            f"{address} is the catch-all; `mailwright alias add @{domain} TARGET` says who gets its mail"
        )
    if not is_local(tx, domain):
        raise NotLocal(
            f"{domain} is not a domain of this server; add it with `mailwright domain add {domain}`"
        )
    if tx.one("SELECT 1 FROM aliases WHERE address = ?", address) is not None:
        raise AlreadyExists(f"{address} is an alias; remove that first")
    row = tx.one(
        "INSERT INTO accounts (address, display_name, language, created_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING RETURNING id",
        address,
        display_name,
        language,
        now,
    )
    if row is None:
        raise AlreadyExists(f"the account {address} is there already")
    account = int(row[0])
    tx.run(
        "INSERT INTO account_state (account, modseq, last_id, bytes, messages, quota_bytes, quota_messages)"
        " VALUES (?, 0, 0, 0, 0, ?, ?)",
        account,
        quota_bytes,
        quota_messages,
    )
    mailboxes.create_defaults(tx, account)
    return get_account(tx, account)


def find_account(tx: Transaction, address: str) -> Account:
    """The account with this address. Raises NotFound, InvalidAddress."""
    address = normal_address(address)
    row = tx.one(f"SELECT {_COLUMNS} WHERE a.address = ?", address)
    if row is None:
        raise NotFound(f"no account {address}")
    return Account(*row)


def get_account(tx: Transaction, account: int) -> Account:
    """The account with this id. Raises NotFound."""
    row = tx.one(f"SELECT {_COLUMNS} WHERE a.id = ?", account)
    if row is None:
        raise NotFound("the account was removed")
    return Account(*row)


def list_accounts(tx: Transaction) -> list[Account]:
    """All accounts, by address."""
    return [Account(*row) for row in tx.all(f"SELECT {_COLUMNS} ORDER BY a.address")]


def set_disabled(tx: Transaction, address: str, disabled: bool) -> None:
    """Stop or resume an account's mail and logins; its mail stays. Raises NotFound."""
    account = find_account(tx, address)
    tx.run("UPDATE accounts SET disabled = ? WHERE id = ?", int(disabled), account.id)
    tx.announce(logins_of(account.id), 0)


def set_quota(
    tx: Transaction, address: str, quota_bytes: int | None, quota_messages: int | None = None
) -> None:
    """Limit what an account may keep, in octets and messages; None: no limit. Raises NotFound."""
    account = find_account(tx, address)
    tx.run(
        "UPDATE account_state SET quota_bytes = ?, quota_messages = ? WHERE account = ?",
        quota_bytes,
        quota_messages,
        account.id,
    )


def remove_account(tx: Transaction, address: str) -> None:
    """Remove an account and all its mail. Raises NotFound."""
    account = find_account(tx, address)
    changes.hold(tx, account.id)
    for box in mailboxes.list_mailboxes(tx, account.id):
        messages.expunge(tx, account.id, box.id, None)
    acl.forget_account(tx, account.id, account.address)
    for table in (
        "mailboxes",
        "marks",
        "subscriptions",
        "changes",
        "threads",
        "search_state",
        "credentials",
        "account_state",
    ):
        tx.run(f"DELETE FROM {table} WHERE account = ?", account.id)  # noqa: S608
    tx.run("DELETE FROM aliases WHERE target = ?", account.address)
    tx.run("DELETE FROM accounts WHERE id = ?", account.id)
    tx.announce(logins_of(account.id), 0)


# Credentials: the hashes are made off the event loop, by `directory.passwords`


def set_password(
    tx: Transaction, address: str, password_hash: str, scram: bytes | None, *, now: int, name: str = ""
) -> None:
    """Set the main password, or with a name an app password.

    Raises NotFound, and AlreadyExists when there are MAX_APP_PASSWORDS others already.
    """
    account = find_account(tx, address)
    if name:
        row = tx.one(
            "SELECT count(*) FROM credentials WHERE account = ? AND name NOT IN ('', ?)", account.id, name
        )
        if row is not None and row[0] >= MAX_APP_PASSWORDS:
            raise AlreadyExists(f"{address} has {MAX_APP_PASSWORDS} app passwords already; remove one")
    tx.run(
        "INSERT INTO credentials (account, name, password_hash, scram, created_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (account, name) DO UPDATE SET password_hash = excluded.password_hash,"
        " scram = excluded.scram, created_at = excluded.created_at",
        account.id,
        name,
        password_hash,
        scram,
        now,
    )
    tx.announce(logins_of(account.id), 0)


def remove_password(tx: Transaction, address: str, name: str) -> None:
    """Remove an app password. Raises NotFound."""
    account = find_account(tx, address)
    if not tx.run("DELETE FROM credentials WHERE account = ? AND name = ?", account.id, name):
        raise NotFound(f"{address} has no app password {name!r}")
    tx.announce(logins_of(account.id), 0)


def list_passwords(tx: Transaction, address: str) -> list[tuple[str, int]]:
    """The names of an account's passwords ('' is the main one), and when each was set. Raises NotFound."""
    account = find_account(tx, address)
    rows = tx.all("SELECT name, created_at FROM credentials WHERE account = ? ORDER BY name", account.id)
    return [(name, created_at) for name, created_at in rows]


def read_credentials(tx: Transaction, address: str) -> tuple[Account, list[Credential]]:
    """An account and its passwords, the main one first. Raises NotFound, InvalidAddress."""
    account = find_account(tx, address)
    rows = tx.all(
        "SELECT name, password_hash, scram FROM credentials WHERE account = ? ORDER BY name", account.id
    )
    return account, [
        Credential(account.id, name, hashed, unpack_scram(scram)) for name, hashed, scram in rows
    ]


def pack_scram(secret: ScramSecret) -> bytes:
    """A SCRAM secret as it is kept."""
    return secret.iterations.to_bytes(4, "big") + secret.stored_key + secret.server_key + secret.salt


def unpack_scram(packed: bytes | None) -> ScramSecret | None:
    """The inverse of `pack_scram`."""
    if packed is None:
        return None
    return ScramSecret(packed[68:], int.from_bytes(packed[:4], "big"), packed[4:36], packed[36:68])
