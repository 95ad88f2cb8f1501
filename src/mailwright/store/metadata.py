"""Annotations of mailboxes, accounts and the server (RFC 5464).

An entry is named as on the wire, `/private/comment` or `/shared/comment`, in lower case. Private entries belong to
the account that wrote them, shared ones to all who may read the mailbox.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from mailwright.store import changes
from mailwright.store.acl import Access, resolve, resolve_held
from mailwright.store.db.api import Transaction
from mailwright.store.errors import NoRight, NoSuchMailbox, StoreError
from mailwright.store.notify.api import SERVER

MAX_VALUE: Final = 32 * 1024  # octets
MAX_ENTRIES: Final = 100  # of one reader on one mailbox, and of all on the shared part of one
MAX_TOTAL: Final = 10 * 1024 * 1024  # octets that one account may annotate with
MAX_ENTRY: Final = 250  # octets of a name
INFINITY: Final = 1_000_000  # a depth

_ANY_OF: Final = "rswip"  # RFC 5464 3.3: `l` and any one of these
_PRIVATE: Final = "/private"
_SHARED: Final = "/shared"


class TooLarge(StoreError):
    """A value has more than MAX_VALUE octets."""


class TooMany(StoreError):
    """There are MAX_ENTRIES entries already, or MAX_TOTAL octets."""


class Annotation(NamedTuple):
    """An entry; None: it is not set, or is to be removed."""

    entry: str
    value: bytes | None


class Annotations(NamedTuple):
    """What was asked for. `longest` is the size of the largest value that was left out, 0: none was."""

    found: list[Annotation]
    longest: int


def read(
    tx: Transaction,
    account: int,
    name: str,
    entries: Sequence[str],
    *,
    depth: int = 0,
    max_size: int | None = None,
) -> Annotations:
    """The values of entries, and of those down to `depth` levels below them; '' as the name: the server's.

    An entry that is not set comes with None when `depth` is 0. Raises NoSuchMailbox, NoRight.
    """
    return read_all(tx, account, _find(tx, account, name), entries, depth=depth, max_size=max_size)


def read_all(
    tx: Transaction,
    account: int,
    access: Access | None,
    entries: Sequence[str],
    *,
    depth: int = 0,
    max_size: int | None = None,
) -> Annotations:
    """As `read`, of a mailbox that was looked up before; None: the server's."""
    values: dict[str, bytes | None] = {}
    for scope in {_scope_of(entry) for entry in entries}:
        owner, mailbox, reader = _key(account, access, scope)
        rows = tx.all(
            "SELECT entry, value FROM annotations WHERE account = ? AND mailbox = ? AND reader = ? ORDER BY entry",
            owner,
            mailbox,
            reader,
        )
        values |= {scope + str(entry): bytes(value) for entry, value in rows}
    found: dict[str, bytes | None] = {}
    for entry in entries:
        if depth == 0:
            found[entry] = values.get(entry)
            continue
        found |= {name: value for name, value in values.items() if _levels_below(name, entry) <= depth}
    limit = MAX_VALUE if max_size is None else max_size
    sizes = {name: len(value or b"") for name, value in found.items()}
    longest = max((size for size in sizes.values() if size > limit), default=0)
    kept = [Annotation(name, value) for name, value in found.items() if sizes[name] <= limit]
    return Annotations(kept, longest)


def write(tx: Transaction, account: int, name: str, annotations: Sequence[Annotation]) -> tuple[int, int]:
    """Set all or none of the annotations; '' as the name: the server's. The account whose log tells it, its modseq.

    Raises NoSuchMailbox, NoRight, TooLarge, TooMany.
    """
    access = _find(tx, account, name, resolve_held)
    for entry, _ in annotations:
        if _scope_of(entry) == _SHARED:
            if access is None:
                raise NoRight("only the administrator sets what the server tells everyone")
            access.need("w")
    owner, mailbox = (account, 0) if access is None else (access.account, access.mailbox.id)
    changes.hold(tx, owner)
    _put(tx, account, access, annotations)
    modseq = changes.next_modseq(tx, owner)
    # RFC 7162 3.2: of a mailbox, a change of its annotations is one too.
    tx.run("UPDATE mailboxes SET modseq = ? WHERE account = ? AND id = ?", modseq, owner, mailbox)
    for scope, reader in ((_SHARED, 0), (_PRIVATE, account)):
        entries = [entry for entry, _ in annotations if _scope_of(entry) == scope]
        if entries:
            changes.append_metadata(tx, owner, modseq, mailbox, entries, reader)
    return owner, modseq


def copy(tx: Transaction, account: int, source: int, target: int) -> None:
    """Give one of an account's mailboxes what the account can read of another one's annotations. Raises TooMany."""
    for reader in (0, account):
        tx.run(
            "INSERT INTO annotations (account, mailbox, reader, entry, value)"
            " SELECT account, ?, reader, entry, value FROM annotations"
            " WHERE account = ? AND mailbox = ? AND reader = ?",
            target,
            account,
            source,
            reader,
        )
        _check_room(tx, account, target, reader)


def write_server(tx: Transaction, annotations: Sequence[Annotation]) -> None:
    """Set shared annotations of the server, for its administrator. Raises TooLarge, TooMany."""
    _put(tx, SERVER, None, annotations)
    tx.announce(SERVER, 0)


def read_server(tx: Transaction) -> dict[str, bytes]:
    """The shared annotations of the server."""
    rows = tx.all(
        "SELECT entry, value FROM annotations WHERE account = ? AND mailbox = 0 AND reader = 0", SERVER
    )
    return {_SHARED + str(entry): bytes(value) for entry, value in rows}


def _put(tx: Transaction, account: int, access: Access | None, annotations: Sequence[Annotation]) -> None:
    for entry, value in annotations:
        scope = _scope_of(entry)
        key = _key(account, access, scope)
        tx.run(
            "DELETE FROM annotations WHERE account = ? AND mailbox = ? AND reader = ? AND entry = ?",
            *key,
            entry.removeprefix(scope),
        )
        if value is None:
            continue
        if len(value) > MAX_VALUE:
            raise TooLarge(f"a value has at most {MAX_VALUE} octets")
        tx.run(
            "INSERT INTO annotations (account, mailbox, reader, entry, value) VALUES (?, ?, ?, ?, ?)",
            *key,
            entry.removeprefix(scope),
            value,
        )
    for key in {_key(account, access, _scope_of(entry)) for entry, _ in annotations}:
        _check_room(tx, *key)


def _check_room(tx: Transaction, owner: int, mailbox: int, reader: int) -> None:
    row = tx.one(
        "SELECT count(*) FROM annotations WHERE account = ? AND mailbox = ? AND reader = ?",
        owner,
        mailbox,
        reader,
    )
    if row is not None and row[0] > MAX_ENTRIES:
        raise TooMany(f"there are {MAX_ENTRIES} entries already; remove some")
    # What is private weighs on its writer, what is shared on the mailbox's owner.
    where, who = ("reader = ?", reader) if reader else ("account = ? AND reader = 0", owner)
    row = tx.one(f"SELECT coalesce(sum(length(value)), 0) FROM annotations WHERE {where}", who)  # noqa: S608
    if row is not None and row[0] > MAX_TOTAL:
        raise TooMany(f"there are {MAX_TOTAL // 1024 // 1024} MB of annotations already; remove some")


def _find(
    tx: Transaction, account: int, name: str, resolve: Callable[[Transaction, int, str], Access] = resolve
) -> Access | None:
    if not name:
        return None
    access = resolve(tx, account, name)
    if "l" not in access.rights:
        raise NoSuchMailbox(f"no mailbox {name!r}")
    if not may_read(access):
        raise NoRight(f"you may not read {name!r}; ask its owner for the right 'r'")
    return access


def may_read(access: Access) -> bool:
    """Whether the annotations of a mailbox are open to who has this access (RFC 5464 3.3)."""
    return "l" in access.rights and any(right in access.rights for right in _ANY_OF)


def _scope_of(entry: str) -> str:
    return _PRIVATE if entry.startswith(_PRIVATE) else _SHARED


def _key(account: int, access: Access | None, scope: str) -> tuple[int, int, int]:
    """Account, mailbox and reader as they are kept."""
    reader = account if scope == _PRIVATE else 0
    if access is not None:
        return access.account, access.mailbox.id, reader
    return (account if reader else SERVER), 0, reader


def _levels_below(name: str, entry: str) -> int:
    if name == entry:
        return 0
    return name.count("/", len(entry)) if name.startswith(entry + "/") else INFINITY + 1
