"""Mailboxes: a tree by name, with '/' between levels, and INBOX in any case (RFC 3501 5.1)."""

from __future__ import annotations

import unicodedata

from mailwright.store import changes, marks, messages
from mailwright.store.db.api import Row, Transaction
from mailwright.store.errors import AlreadyExists, NoSuchMailbox, NotAllowed, StoreError
from mailwright.store.model import MAX_DEPTH, MAX_MAILBOXES, MAX_NAME, MAX_SUBSCRIPTIONS, Kind, Mailbox
from mailwright.store.notify.api import SERVER

DEFAULTS: tuple[tuple[str, str | None], ...] = (
    ("INBOX", "inbox"),
    ("Drafts", "drafts"),
    ("Sent", "sent"),
    ("Archive", "archive"),
    ("Junk", "junk"),
    ("Trash", "trash"),
)
ROLES = frozenset({"all", "archive", "drafts", "flagged", "important", "junk", "sent", "trash"})  # RFC 6154 2

_COLUMNS = (
    "m.id, m.name, m.role, m.uidvalidity, m.uidnext, m.modseq, m.messages, m.unseen, m.deleted, m.bytes"
    " FROM mailboxes m"
)


class InvalidName(StoreError):
    """A text that cannot name a mailbox; the message says why."""


def normal_name(name: str) -> str:
    """The form of a mailbox's name in which it is kept: NFC, INBOX in capitals, no empty levels.

    Raises InvalidName.
    """
    name = unicodedata.normalize("NFC", name).rstrip("/")
    if not name:
        raise InvalidName("a mailbox's name is empty")
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME:
        raise InvalidName(f"a mailbox's name is longer than {MAX_NAME} octets")
    levels = name.split("/")
    if len(levels) > MAX_DEPTH:
        raise InvalidName(f"a mailbox is deeper than {MAX_DEPTH} levels")
    for level in levels:
        if not level:
            raise InvalidName("a mailbox's name has an empty level ('//')")
    if any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in name):  # RFC 6855 3
        raise InvalidName("a mailbox's name holds a control character, or ends a line")
    if levels[0].casefold() == "inbox":
        levels[0] = "INBOX"
    return "/".join(levels)


def list_mailboxes(tx: Transaction, account: int) -> list[Mailbox]:
    """All mailboxes of an account, by name."""
    rows = tx.all(f"SELECT {_COLUMNS} WHERE m.account = ? ORDER BY m.name", account)
    return [_mailbox(row) for row in rows]


def list_subscriptions(tx: Transaction, account: int) -> list[str]:
    """All subscribed names, whether a mailbox has them or not."""
    return [
        name for (name,) in tx.all("SELECT name FROM subscriptions WHERE account = ? ORDER BY name", account)
    ]


def find_mailbox(tx: Transaction, account: int, name: str) -> Mailbox:
    """The mailbox of this name. Raises NoSuchMailbox."""
    row = tx.one(f"SELECT {_COLUMNS} WHERE m.account = ? AND m.name = ?", account, _sought_name(name))
    if row is None:
        raise NoSuchMailbox(f"no mailbox {name!r}")
    return _mailbox(row)


def _sought_name(name: str) -> str:
    """The form of a name that is looked up. Raises NoSuchMailbox."""
    try:
        return normal_name(name)
    except InvalidName as error:
        raise NoSuchMailbox(str(error)) from error


def get_mailbox(tx: Transaction, account: int, mailbox: int) -> Mailbox:
    """The mailbox of this id. Raises NoSuchMailbox."""
    row = tx.one(f"SELECT {_COLUMNS} WHERE m.account = ? AND m.id = ?", account, mailbox)
    if row is None:
        raise NoSuchMailbox("the mailbox was deleted")
    return _mailbox(row)


def find_role(tx: Transaction, account: int, role: str) -> Mailbox | None:
    """The mailbox with a special use, or None."""
    row = tx.one(f"SELECT {_COLUMNS} WHERE m.account = ? AND m.role = ? ORDER BY m.id", account, role)
    return _mailbox(row) if row else None


def create_mailbox(
    tx: Transaction, account: int, name: str, *, role: str | None = None, subscribe: bool = False
) -> Mailbox:
    """Make a mailbox, and the levels above it that are missing (RFC 3501 6.3.3).

    Raises AlreadyExists, InvalidName, and NotAllowed when the role is taken or there are MAX_MAILBOXES already.
    """
    name = normal_name(name)
    changes.hold(tx, account)
    if _exists(tx, account, name):
        raise AlreadyExists(f"a mailbox {name!r} is there already")
    if role is not None and find_role(tx, account, role) is not None:
        raise NotAllowed(f"another mailbox has the special use {role!r}")
    modseq = changes.next_modseq(tx, account)
    _make_levels(tx, account, name, modseq)
    _check_room(tx, account)
    mailbox = _insert(tx, account, name, role, modseq)
    if subscribe:
        tx.run(
            "INSERT INTO subscriptions (account, name) VALUES (?, ?) ON CONFLICT DO NOTHING", account, name
        )
    return get_mailbox(tx, account, mailbox)


def delete_mailbox(tx: Transaction, account: int, name: str) -> None:
    """Delete a mailbox and the places in it; mailboxes below it stay (RFC 3501 6.3.4).

    Raises NoSuchMailbox, and NotAllowed for INBOX.
    """
    changes.hold(tx, account)
    mailbox = find_mailbox(tx, account, name)
    if mailbox.name == "INBOX":
        raise NotAllowed("INBOX cannot be deleted")
    messages.expunge(tx, account, mailbox.id, None)
    modseq = changes.next_modseq(tx, account)
    tx.run("DELETE FROM mailboxes WHERE account = ? AND id = ?", account, mailbox.id)
    tx.run("DELETE FROM marks WHERE account = ? AND mailbox = ?", account, mailbox.id)
    tx.run("DELETE FROM acl WHERE account = ? AND mailbox = ?", account, mailbox.id)  # RFC 4314 4
    tx.run("DELETE FROM annotations WHERE account = ? AND mailbox = ?", account, mailbox.id)  # RFC 5464 4.3
    tx.run("DELETE FROM url_keys WHERE owner = ? AND mailbox = ?", account, mailbox.id)
    changes.append(tx, account, modseq, mailbox.id, Kind.GONE)


def rename_mailbox(tx: Transaction, account: int, name: str, new_name: str) -> None:
    """Give a mailbox and all below it a new name; of INBOX only the messages move (RFC 3501 6.3.5).

    A level that no mailbox has, but mailboxes below it, is renamed too: LIST shows it. Raises NoSuchMailbox,
    AlreadyExists, InvalidName, and NotAllowed when it would be put below itself, or needs levels above it and there are
    MAX_MAILBOXES already.
    """
    changes.hold(tx, account)
    boxes = list_mailboxes(tx, account)
    name = _sought_name(name)
    moved = [box for box in boxes if box.name == name or box.name.startswith(name + "/")]
    if not moved:
        raise NoSuchMailbox(f"no mailbox {name!r}")
    new_name = normal_name(new_name)
    if _exists(tx, account, new_name):
        raise AlreadyExists(f"a mailbox {new_name!r} is there already")
    if name == "INBOX":
        target = create_mailbox(tx, account, new_name)
        inbox = find_mailbox(tx, account, name)
        uids = [
            uid
            for (uid,) in tx.all(
                "SELECT uid FROM places WHERE account = ? AND mailbox = ?", account, inbox.id
            )
        ]
        messages.move(tx, account, inbox.id, uids, target.id)
        return
    if new_name.startswith(name + "/"):
        raise NotAllowed("a mailbox cannot be put below itself")
    modseq = changes.next_modseq(tx, account)
    _make_levels(tx, account, new_name, modseq)
    taken = {box.name for box in boxes} - {box.name for box in moved}  # what a deleted mailbox left below it
    for box in sorted(moved, key=lambda box: len(box.name)):  # the short ones make room for those below them
        renamed = normal_name(new_name + box.name[len(name) :])
        if renamed in taken:
            raise AlreadyExists(f"a mailbox {renamed!r} is there already")
        tx.run("UPDATE mailboxes SET name = ? WHERE account = ? AND id = ?", renamed, account, box.id)
        changes.append(tx, account, modseq, box.id, Kind.MAILBOX)


def subscribe(tx: Transaction, account: int, name: str, on: bool) -> None:
    """Add a name to the subscriptions or take it away. Raises InvalidName, and NotAllowed for too many names."""
    name = normal_name(name)
    changes.hold(tx, account)
    if on:
        row = tx.one("SELECT count(*) FROM subscriptions WHERE account = ? AND name <> ?", account, name)
        if row is not None and row[0] >= MAX_SUBSCRIPTIONS:
            raise NotAllowed(f"{MAX_SUBSCRIPTIONS} names are subscribed already; unsubscribe some")
        changed = tx.run(
            "INSERT INTO subscriptions (account, name) VALUES (?, ?) ON CONFLICT DO NOTHING", account, name
        )
    else:
        changed = tx.run("DELETE FROM subscriptions WHERE account = ? AND name = ?", account, name)
    row = tx.one("SELECT id FROM mailboxes WHERE account = ? AND name = ?", account, name)
    if changed:  # 0: the name of another's mailbox, or of none
        mailbox = 0 if row is None else int(row[0])
        changes.append(tx, account, changes.next_modseq(tx, account), mailbox, Kind.MAILBOX)


def set_role(tx: Transaction, account: int, mailbox: int, role: str | None) -> None:
    """Give a mailbox a special use. Raises NoSuchMailbox, and NotAllowed when another one has it."""
    changes.hold(tx, account)
    other = find_role(tx, account, role) if role else None
    if other is not None and other.id != mailbox:
        raise NotAllowed(f"the mailbox {other.name!r} has the special use {role!r}")
    if not tx.run("UPDATE mailboxes SET role = ? WHERE account = ? AND id = ?", role, account, mailbox):
        raise NoSuchMailbox("the mailbox was deleted")
    changes.append(tx, account, changes.next_modseq(tx, account), mailbox, Kind.MAILBOX)


def create_defaults(tx: Transaction, account: int) -> None:
    """The mailboxes that a new account has."""
    modseq = changes.next_modseq(tx, account)
    for name, role in DEFAULTS:
        _insert(tx, account, name, role, modseq)
        tx.run(
            "INSERT INTO subscriptions (account, name) VALUES (?, ?) ON CONFLICT DO NOTHING", account, name
        )


def _make_levels(tx: Transaction, account: int, name: str, modseq: int) -> None:
    """Make the mailboxes that are missing above a name. Raises NotAllowed when there is no room for them."""
    levels = name.split("/")
    for depth in range(1, len(levels)):
        above = "/".join(levels[:depth])
        if not _exists(tx, account, above):
            _check_room(tx, account)
            _insert(tx, account, above, None, modseq)


def _check_room(tx: Transaction, account: int) -> None:
    row = tx.one("SELECT count(*) FROM mailboxes WHERE account = ?", account)
    if row is not None and row[0] >= MAX_MAILBOXES:
        raise NotAllowed(f"the account has {MAX_MAILBOXES} mailboxes already; delete some")


def _insert(tx: Transaction, account: int, name: str, role: str | None, modseq: int) -> int:
    row = tx.one(
        "UPDATE account_state SET last_id = last_id + 1 WHERE account = ? RETURNING last_id", account
    )
    assert row is not None
    mailbox = int(row[0])
    # UIDVALIDITY: ids are never used twice in an account, and accounts begin at different times, so that neither a
    # mailbox made again under its old name nor an account made again has a value that a client has seen.
    tx.run(
        "INSERT INTO mailboxes (account, id, name, role, uidvalidity, uidnext, modseq, fresh)"
        " SELECT id, ?, ?, ?, created_at + ?, 1, ?, ? FROM accounts WHERE id = ?",
        mailbox,
        name,
        role,
        mailbox,
        modseq,
        marks.make_fresh(tx, account, mailbox),
        account,
    )
    # RFC 4314 4: a new mailbox inherits the rights on the one above it.
    inherited = tx.run(
        "INSERT INTO acl (account, mailbox, identifier, rights) SELECT account, ?, identifier, rights FROM acl"
        " WHERE account = ? AND mailbox = coalesce((SELECT id FROM mailboxes WHERE account = ? AND name = ?), 0)",
        mailbox,
        account,
        account,
        name.rpartition("/")[0],
    )
    changes.append(tx, account, modseq, mailbox, Kind.MAILBOX)
    if inherited:
        tx.announce(SERVER, 0)  # who can see the mailbox does not listen to this account yet, perhaps
    return mailbox


def _exists(tx: Transaction, account: int, name: str) -> bool:
    return tx.one("SELECT 1 FROM mailboxes WHERE account = ? AND name = ?", account, name) is not None


def _mailbox(row: Row) -> Mailbox:
    return Mailbox(*row)
