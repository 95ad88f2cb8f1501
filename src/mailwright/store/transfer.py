"""COPY and MOVE into any mailbox that one may insert into, whoever owns it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mailwright.store import arrivals, changes, messages, reading
from mailwright.store.acl import RIGHTS, Access, permitted_flags
from mailwright.store.db.api import Transaction
from mailwright.store.errors import NoSuchMailbox, OverQuota
from mailwright.store.model import ID_BITS, Copied, Place
from mailwright.store.references import read_record

_DESCRIPTION = (
    "size, received_at, sent_at, sent_zone, attachment, envelope, bodystructure, structure, preview, subject,"
    " senders, recipients, copies, links"
)


def copy(
    tx: Transaction, account: int, mailbox: int, uids: Sequence[int], target: Access, *, now: int
) -> Copied:
    """Copy from a mailbox of `account`. Flags that one may not set in the target are left out (RFC 4314 4).

    Raises NoSuchMailbox, NoRight, OverQuota (by the target's owner's quota).
    """
    target.need("i")
    if target.account == account and target.rights == RIGHTS:
        return messages.copy(tx, account, mailbox, uids, target.mailbox.id, now=now)
    changes.hold(tx, account, target.account)
    places = [permitted(place, target.rights) for place in reading.read_places(tx, account, mailbox, uids)]
    if target.account != account:
        places = list(_adopt(tx, target.account, places))
    modseq = changes.next_modseq(tx, target.account)
    return messages.put(tx, target.account, places, target.mailbox.id, modseq, now)


def move(
    tx: Transaction, account: int, mailbox: int, uids: Sequence[int], target: Access, *, now: int
) -> Copied:
    """As `copy`, and expunge what was copied, in the same transaction."""
    target.need("i")
    if target.account == account and target.rights == RIGHTS:
        return messages.move(tx, account, mailbox, uids, target.mailbox.id, now=now)
    copied = copy(tx, account, mailbox, uids, target, now=now)
    messages.expunge(tx, account, mailbox, copied.sources)
    return copied


def permitted(place: Place, rights: str) -> Place:
    """A place with only those flags that one may set."""
    return place._replace(
        flags=place.flags & permitted_flags(rights), keywords=place.keywords if "w" in rights else ""
    )


def _adopt(tx: Transaction, account: int, places: list[Place]) -> Iterator[Place]:
    """The places with messages of the account's own, which share the others' blobs. Raises OverQuota."""
    adopted: dict[int, int] = {}
    for place in places:
        if place.message not in adopted:
            adopted[place.message] = _adopt_message(tx, account, place.message)
        yield place._replace(message=adopted[place.message])


def _adopt_message(tx: Transaction, account: int, message: int) -> int:
    row = tx.one("SELECT blob, size, links FROM messages WHERE id = ?", message)
    assert row is not None
    blob, size, links = row
    links = links or read_record(tx, blob, size)
    state = tx.one(
        "UPDATE account_state SET last_id = last_id + 1, bytes = bytes + ?, messages = messages + 1"
        " WHERE account = ? RETURNING last_id, bytes, messages, quota_bytes, quota_messages",
        size,
        account,
    )
    if state is None:
        raise NoSuchMailbox("the account was removed")
    if _is_full(*state[1:]):
        raise OverQuota("the mailbox's owner has no room for this; they must delete some mail")
    new = account << ID_BITS | int(state[0])
    tx.run("UPDATE blobs SET refs = refs + 1 WHERE id = ?", blob)
    tx.run(
        f"INSERT INTO messages (id, blob, thread, {_DESCRIPTION})"  # noqa: S608
        f" SELECT ?, blob, ?, {_DESCRIPTION} FROM messages WHERE id = ?",
        new,
        arrivals.find_threads(tx, [links], [new])[0],
        message,
    )
    return new


def _is_full(used: int, count: int, quota_bytes: int | None, quota_messages: int | None) -> bool:
    """Whether an account has more than its quota."""
    return (quota_bytes is not None and used > quota_bytes) or (
        quota_messages is not None and count > quota_messages
    )
