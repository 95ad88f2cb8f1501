"""The change log: one counter per account, one row per write and mailbox.

IDLE, QRESYNC and JMAP state are views of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mailwright.store.db.api import Transaction
from mailwright.store.db.insert import insert
from mailwright.store.errors import NoSuchAccount
from mailwright.store.model import ID_MASK, Change, Kind
from mailwright.store.sets import pack, pack_ranges


def hold(tx: Transaction, *accounts: int) -> None:
    """Let nobody else change these accounts until the transaction ends.

    On PostgreSQL writers work side by side: whoever reads what its change depends on does this first.
    """
    if not tx.dialect.for_update:  # one writes at a time
        return
    for account in sorted(set(accounts)):  # so no two writers wait for each other
        tx.one(f"SELECT modseq FROM account_state WHERE account = ?{tx.dialect.for_update}", account)  # noqa: S608


def next_modseq(tx: Transaction, account: int) -> int:
    """Raise the account's counter, which also holds the account: see `hold`."""
    row = tx.one("UPDATE account_state SET modseq = modseq + 1 WHERE account = ? RETURNING modseq", account)
    if row is None:
        raise NoSuchAccount(f"no account {account}")
    return int(row[0])


def append(
    tx: Transaction,
    account: int,
    modseq: int,
    mailbox: int,
    kind: Kind,
    uids: list[int] | None = None,
    messages: list[int] | None = None,
) -> None:
    """Add a row to the log and announce it."""
    numbers = [message & ID_MASK for message in messages or ()]
    _insert(tx, account, modseq, mailbox, kind, pack(uids or ()), pack(numbers))


class Arrived(NamedTuple):
    """What came into a mailbox."""

    account: int
    modseq: int
    mailbox: int
    uids: Sequence[int]
    messages: Sequence[int]


def append_arrived(tx: Transaction, arrived: Iterable[Arrived]) -> None:
    """Add a row to the log for each mailbox and announce it."""
    rows = [
        _row(
            tx, account, modseq, mailbox, Kind.ARRIVED, pack(uids), pack([one & ID_MASK for one in messages])
        )
        for account, modseq, mailbox, uids, messages in arrived
    ]
    insert(tx, _CHANGES, rows)


def append_flags(
    tx: Transaction, account: int, modseq: int, mailbox: int, uids: Iterable[tuple[int, int]]
) -> None:
    """Add a row of changed flags, for UIDs as ranges; the places tell which messages they are."""
    _insert(tx, account, modseq, mailbox, Kind.FLAGS, pack_ranges(uids), "")


def append_metadata(
    tx: Transaction, account: int, modseq: int, mailbox: int, entries: Iterable[str], reader: int
) -> None:
    """Add a row that names annotations; `reader` 0: all may read them."""
    _insert(tx, account, modseq, mailbox, Kind.METADATA, "\n".join(entries), str(reader))


def _insert(
    tx: Transaction, account: int, modseq: int, mailbox: int, kind: Kind, uids: str, messages: str
) -> None:
    insert(tx, _CHANGES, [_row(tx, account, modseq, mailbox, kind, uids, messages)])


_CHANGES = "changes (account, modseq, n, mailbox, kind, uids, messages)"


def _row(
    tx: Transaction, account: int, modseq: int, mailbox: int, kind: Kind, uids: str, messages: str
) -> tuple[int, int, int, int, int, str, str]:
    return account, modseq, tx.announce(account, modseq), mailbox, int(kind), uids, messages


def read_modseq(tx: Transaction, account: int) -> int:
    """The account's counter."""
    row = tx.one("SELECT modseq FROM account_state WHERE account = ?", account)
    if row is None:
        raise NoSuchAccount(f"no account {account}")
    return int(row[0])


def reaches(tx: Transaction, account: int, since: int) -> bool:
    """Whether the log holds everything that happened after `since`."""
    row = tx.one("SELECT modseq FROM changes WHERE account = ? ORDER BY modseq LIMIT 1", account)
    return (row is not None and row[0] <= since + 1) or since >= read_modseq(tx, account)


def read_changes(tx: Transaction, account: int, since: int, mailbox: int | None = None) -> list[Change]:
    """What happened after `since`, in order; in one mailbox or in all."""
    sql = "SELECT modseq, mailbox, kind, uids, messages FROM changes WHERE account = ? AND modseq > ?"
    params: tuple[int, ...] = (account, since)
    if mailbox is not None:
        sql += " AND mailbox = ?"
        params += (mailbox,)
    return [Change(*row) for row in tx.all(sql + " ORDER BY modseq, n", *params)]
