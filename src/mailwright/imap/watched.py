"""What NOTIFY needs to know from the store: which mailboxes there are, and what happened in them (RFC 5465)."""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Final, NamedTuple

from mailwright.imap.tree import read_tree
from mailwright.imap.view import Key
from mailwright.store import changes, metadata
from mailwright.store.acl import list_shared
from mailwright.store.db.api import Transaction
from mailwright.store.errors import NoSuchAccount, NoSuchMailbox
from mailwright.store.mailboxes import get_mailbox, list_mailboxes
from mailwright.store.model import Change, Kind, Mailbox

_EVENTS: Final = {
    int(Kind.ARRIVED): "MESSAGENEW",
    int(Kind.EXPUNGED): "MESSAGEEXPUNGE",
    int(Kind.FLAGS): "FLAGCHANGE",
}


class Known(NamedTuple):
    """A name as the client knows it; without `key` no mailbox has it. `readable`: with the right `r`."""

    name: str
    key: Key | None
    attributes: tuple[str, ...]
    readable: bool

    @property
    def subscribed(self) -> bool:
        return "\\Subscribed" in self.attributes


class Sight(NamedTuple):
    """All that an account sees, by name, and how far the logs of the owners are."""

    known: dict[str, Known]
    modseqs: dict[int, int]


class Start(NamedTuple):
    """What a watch begins with."""

    sight: Sight
    boxes: dict[Key, Mailbox]
    server: dict[str, bytes]


class Question(NamedTuple):
    """What a session asks: its account, how far it knows the logs, and which changes were its own."""

    account: int
    since: dict[int, int]
    own: Set[tuple[int, int]]
    shared: bool  # it looks at others' mailboxes
    stale: bool  # it may see other mailboxes than before
    server: bool  # it looks at the server's annotations
    limit: int  # changes at once


class Happened(NamedTuple):
    """The answer. `overflow`: it is more than the limit, and not all here."""

    modseqs: dict[int, int]
    overflow: bool
    events: dict[Key, set[str]]
    boxes: dict[Key, Mailbox]  # where these were
    entries: dict[Key, dict[str, None]]  # names of annotations that changed
    sight: Sight | None  # when names, subscriptions or rights changed
    server: dict[str, bytes] | None


def read_sight(tx: Transaction, account: int, shared: bool) -> Sight:
    """What an account sees; others' mailboxes with `shared`."""
    tree = read_tree(tx, account, shared=shared, subscriptions=True, all_names=True)
    known: dict[str, Known] = {}
    for name in tree.names:
        mailbox, access = tree.mailboxes.get(name), tree.shared.get(name)
        key = None if mailbox is None else (account if access is None else access.account, mailbox.id)
        readable = key is not None and (access is None or "r" in access.rights)
        known[name] = Known(name, key, tuple(tree.attributes(name)), readable)
    owners = {account} | {access.account for access in tree.shared.values()}
    return Sight(known, {owner: changes.read_modseq(tx, owner) for owner in owners})


def read_start(tx: Transaction, account: int, shared: bool) -> Start:
    """What an account sees, with the counts of its mailboxes, and the server's annotations."""
    boxes = {(account, box.id): box for box in list_mailboxes(tx, account)}
    if shared:
        boxes |= {(access.account, access.mailbox.id): access.mailbox for access in list_shared(tx, account)}
    return Start(read_sight(tx, account, shared), boxes, metadata.read_server(tx))


def read_happened(tx: Transaction, question: Question) -> Happened:
    """What happened in the accounts of the question."""
    modseqs = _read_modseqs(tx, question.since)
    news = sum(max(0, modseq - question.since[owner]) for owner, modseq in modseqs.items())
    found = Happened(modseqs, news > question.limit, {}, {}, {}, None, None)
    if found.overflow:
        return found
    renamed = question.stale or len(modseqs) < len(question.since)
    for owner, modseq in modseqs.items():
        if modseq > question.since[owner]:
            for change in changes.read_changes(tx, owner, question.since[owner]):
                renamed |= change.kind in (Kind.MAILBOX, Kind.GONE)
                if (owner, change.modseq) not in question.own:
                    _sort_in(found, question.account, owner, change)
    for key in found.events:
        try:
            found.boxes[key] = get_mailbox(tx, *key)
        except NoSuchMailbox:
            continue
    return found._replace(
        sight=read_sight(tx, question.account, question.shared) if renamed else None,
        server=metadata.read_server(tx) if question.server and question.stale else None,
    )


def _read_modseqs(tx: Transaction, owners: Iterable[int]) -> dict[int, int]:
    modseqs = {}
    for owner in owners:
        try:
            modseqs[owner] = changes.read_modseq(tx, owner)
        except NoSuchAccount:
            continue
    return modseqs


def _sort_in(found: Happened, account: int, owner: int, change: Change) -> None:
    key = (owner, change.mailbox)
    event = _EVENTS.get(change.kind)
    if event is not None:
        found.events.setdefault(key, set()).add(event)
    elif change.kind == Kind.METADATA and int(change.messages) in (0, account):
        found.entries.setdefault(key, {}).update(dict.fromkeys(change.uids.split("\n")))
