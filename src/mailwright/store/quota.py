"""What an account uses of its quota (RFC 9208)."""

from __future__ import annotations

from typing import NamedTuple

from mailwright.store import acl
from mailwright.store.acl import resolve
from mailwright.store.db.api import Transaction
from mailwright.store.errors import NotFound
from mailwright.store.model import MAX_MAILBOXES, Flag, Room, room_of

_USER = "user/"


class Resource(NamedTuple):
    """What is limited; STORAGE counts in units of 1024 octets."""

    name: str
    used: int
    limit: int


class Quota(NamedTuple):
    """The one quota root of an account."""

    root: str
    resources: list[Resource]


def read_room(tx: Transaction, account: int) -> Room:
    """The room that an account has; none at all when it was removed."""
    row = tx.one(
        "SELECT quota_bytes - bytes, quota_messages - messages FROM account_state WHERE account = ?", account
    )
    return Room(0, 0) if row is None else room_of(*row)


def read_root_of(tx: Transaction, account: int, name: str) -> tuple[str, Quota]:
    """A mailbox's name, and the quota that weighs on it. Raises NoSuchMailbox, NoRight without the right `r`."""
    access = resolve(tx, account, name)
    access.need("r")
    return access.name, read_quota(tx, access.account)


def find_quota(tx: Transaction, account: int, root: str) -> Quota:
    """A quota by the name of its root: one's own, or of who lets one read a mailbox. Raises NotFound."""
    own = read_quota(tx, account)
    if root == own.root:
        return own
    for owner in {access.account for access in acl.list_shared(tx, account) if "r" in access.rights}:
        quota = read_quota(tx, owner)
        if quota.root == root:
            return quota
    raise NotFound(f"there is no quota root {root!r} that you may see")


def read_quota(tx: Transaction, account: int) -> Quota:
    """What an account uses, of what it may use; a resource without a limit is left out."""
    row = tx.one(
        "SELECT a.address, s.bytes, s.messages, s.quota_bytes, s.quota_messages,"
        " (SELECT count(*) FROM mailboxes WHERE account = a.id)"
        " FROM accounts a JOIN account_state s ON s.account = a.id WHERE a.id = ?",
        account,
    )
    if row is None:
        raise NotFound("the account was removed")
    address, used, messages, quota_bytes, quota_messages, mailboxes = row
    resources = []
    if quota_bytes is not None:
        resources.append(Resource("STORAGE", -(-used // 1024), quota_bytes // 1024))
    if quota_messages is not None:
        resources.append(Resource("MESSAGE", messages, quota_messages))
    resources.append(Resource("MAILBOX", mailboxes, MAX_MAILBOXES))
    return Quota(address if address == acl.PUBLIC_ADDRESS else _USER + address, resources)


def read_deleted_size(tx: Transaction, account: int, mailbox: int) -> int:
    r"""Octets of the messages flagged \Deleted in a mailbox (RFC 9208 4.1.4)."""
    row = tx.one(
        "SELECT coalesce(sum(m.size), 0) FROM marked p JOIN messages m ON m.id = p.message"
        " WHERE p.account = ? AND p.mailbox = ? AND (p.flags & ?) <> 0",
        account,
        mailbox,
        int(Flag.DELETED),
    )
    return 0 if row is None else int(row[0])
