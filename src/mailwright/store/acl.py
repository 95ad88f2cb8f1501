"""Who may do what with whose mailboxes (RFC 4314), and how others' mailboxes are called (RFC 2342).

What an account may do is what it and `anyone` were granted, less what it and `anyone` were denied (`-identifier`).
The owner may do everything. Flags, \\Seen too, are shared by all who use a mailbox.
"""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from typing import Final, NamedTuple

from mailwright.base.domain import InvalidDomain, to_ascii
from mailwright.store import changes, mailboxes
from mailwright.store.db.api import Transaction
from mailwright.store.errors import NoRight, NoSuchMailbox, NotAllowed, StoreError
from mailwright.store.model import Flag, Kind, Mailbox
from mailwright.store.notify.api import SERVER

# lookup, read, seen, write, insert, post, create, delete the mailbox, delete messages, expunge, administer
RIGHTS: Final = "lrswipkxtea"
ANYONE: Final = "anyone"
OTHER_USERS: Final = "Other Users"  # above each account's address
PUBLIC: Final = "Public"
PUBLIC_ADDRESS: Final = (
    "public"  # of the account that owns the public folders: not to be logged in to, nor mailed
)
ROOT: Final = 0  # stands for the mailbox above all
MAX_IDENTIFIERS: Final = 200  # on one mailbox
_MAX_IDENTIFIER: Final = 400  # characters

# As plain numbers: an enumeration's own operators are slow.
_SEEN: Final = int(Flag.SEEN)
_DELETED: Final = int(Flag.DELETED)
_WRITTEN: Final = int(Flag.ANSWERED | Flag.FLAGGED | Flag.DRAFT)
_MAILBOX = "m.id, m.name, NULL, m.uidvalidity, m.uidnext, m.modseq, m.messages, m.unseen, m.deleted, m.bytes"


class InvalidIdentifier(StoreError):
    """A text that names nobody who could be granted rights."""


class Access(NamedTuple):
    """A mailbox, and what somebody may do with it."""

    account: int  # the owner
    mailbox: Mailbox  # with the name that the owner calls it by
    rights: str  # letters of RIGHTS, in that order
    name: str  # what the one who asked calls it

    def need(self, right: str) -> None:
        """Raises NoRight; without the right to look it up NoSuchMailbox, so that nothing is revealed."""
        if right in self.rights:
            return
        if "l" not in self.rights:
            raise NoSuchMailbox(f"no mailbox {self.name!r}")
        raise NoRight(f"you lack the right {right!r} on {self.name!r}; ask its owner for it")


class Grant(NamedTuple):
    identifier: str
    rights: str


# Names


def is_shared(name: str) -> bool:
    """Whether a name lies in a namespace of others' mailboxes."""
    return name.startswith((OTHER_USERS + "/", PUBLIC + "/"))


def is_reserved(name: str) -> bool:
    """Whether no mailbox of one's own can be made with this name."""
    return name in (OTHER_USERS, PUBLIC) or is_shared(name)


def shared_name(address: str, name: str) -> str:
    """What others call a mailbox of the account with this address."""
    return f"{PUBLIC}/{name}" if address == PUBLIC_ADDRESS else f"{OTHER_USERS}/{address}/{name}"


def locate(tx: Transaction, account: int, name: str) -> tuple[int, str]:
    """Whose mailbox a name means to an account, and what the owner calls it. Raises NoSuchMailbox."""
    if not is_shared(name):
        return account, name
    top, _, rest = name.partition("/")
    address, path = PUBLIC_ADDRESS, rest
    if top == OTHER_USERS:
        # A local part may hold a '/', so the address ends with the first one behind its '@'.
        end = rest.find("/", rest.find("@") + 1)
        address, path = rest[:end], rest[end + 1 :]
        if "@" not in address or end < 0:
            raise NoSuchMailbox(f"no mailbox {name!r}")
        try:
            address = normal_identifier(address)
        except InvalidIdentifier as error:
            raise NoSuchMailbox(f"no mailbox {name!r}") from error
    row = tx.one("SELECT id FROM accounts WHERE address = ?", address)
    if row is None or not path:
        raise NoSuchMailbox(f"no mailbox {name!r}")
    return int(row[0]), path


def resolve(tx: Transaction, account: int, name: str) -> Access:
    """The mailbox that a name means to an account, and its rights on it. Raises NoSuchMailbox."""
    owner, path = locate(tx, account, name)
    mailbox = mailboxes.find_mailbox(tx, owner, path)
    if owner == account:
        return Access(account, mailbox, RIGHTS, mailbox.name)
    rights = read_rights(tx, account, owner, mailbox.id)
    if not rights:
        raise NoSuchMailbox(f"no mailbox {name!r}")
    return Access(owner, mailbox, rights, name[: len(name) - len(path)] + mailbox.name)


def name_of(tx: Transaction, account: int, owner: int, mailbox: int) -> str:
    """What an account calls a mailbox now. Raises NoSuchMailbox."""
    name = mailboxes.get_mailbox(tx, owner, mailbox).name
    return name if owner == account else shared_name(_address(tx, owner), name)


def list_shared(tx: Transaction, account: int) -> list[Access]:
    """The mailboxes of others that an account may look up, by name."""
    names = _identifiers(tx, account)
    rows = tx.all(
        f"SELECT o.id, o.address, c.identifier, c.rights, {_MAILBOX}"  # noqa: S608
        " FROM acl c JOIN accounts o ON o.id = c.account"
        " JOIN mailboxes m ON m.account = c.account AND m.id = c.mailbox"
        f" WHERE c.identifier IN ({', '.join('?' * len(names))}) AND c.account <> ?",
        *names,
        account,
    )
    grants: dict[tuple[int, int], list[Grant]] = {}
    found: dict[tuple[int, int], Access] = {}
    for owner, address, identifier, rights, *columns in rows:
        mailbox = Mailbox(*columns)
        key = (int(owner), mailbox.id)
        grants.setdefault(key, []).append(Grant(identifier, rights))
        found[key] = Access(key[0], mailbox, "", shared_name(address, mailbox.name))
    listed = [access._replace(rights=combine(grants[key])) for key, access in found.items()]
    return sorted((access for access in listed if "l" in access.rights), key=lambda access: access.name)


# Rights


def combine(grants: list[Grant]) -> str:
    """What is granted less what is denied, in the order of RIGHTS."""
    granted = {right for grant in grants if not grant.identifier.startswith("-") for right in grant.rights}
    denied = {right for grant in grants if grant.identifier.startswith("-") for right in grant.rights}
    return ordered(granted - denied)


def ordered(rights: set[str] | str) -> str:
    """Rights in the order of RIGHTS, each once."""
    return "".join(right for right in RIGHTS if right in rights)


def permitted_flags(rights: str) -> int:
    """The system flags that one may change (RFC 4314 4)."""
    seen = _SEEN if "s" in rights else 0
    deleted = _DELETED if "t" in rights else 0
    return seen | deleted | (_WRITTEN if "w" in rights else 0)


def read_rights(tx: Transaction, account: int, owner: int, mailbox: int) -> str:
    """What an account may do with a mailbox; '' when nothing."""
    if account == owner:
        return RIGHTS
    names = _identifiers(tx, account)
    rows = tx.all(
        "SELECT identifier, rights FROM acl WHERE account = ? AND mailbox = ?"  # noqa: S608
        f" AND identifier IN ({', '.join('?' * len(names))})",
        owner,
        mailbox,
        *names,
    )
    return combine([Grant(*row) for row in rows])


def _identifiers(tx: Transaction, account: int) -> list[str]:
    row = tx.one("SELECT address FROM accounts WHERE id = ?", account)
    names = [ANYONE] if row is None else [ANYONE, str(row[0])]
    return names + [f"-{name}" for name in names]


def normal_identifier(identifier: str) -> str:
    """The form in which identifiers compare equal: `anyone` or an address, maybe with '-' before it.

    Raises InvalidIdentifier.
    """
    sign, name = ("-", identifier[1:]) if identifier.startswith("-") else ("", identifier)
    if name.lower() == ANYONE:
        return sign + ANYONE
    local, _, domain = unicodedata.normalize("NFC", name).casefold().rpartition("@")
    if not local or len(name) > _MAX_IDENTIFIER or any(char.isspace() or ord(char) < 32 for char in local):
        raise InvalidIdentifier(f"rights are granted to {ANYONE!r} or to an address, name@domain")
    try:
        return f"{sign}{local}@{to_ascii(domain)}"
    except InvalidDomain as error:
        raise InvalidIdentifier(str(error)) from error


# Changing and reading lists


def read_acl(tx: Transaction, account: int, name: str) -> tuple[Access, list[Grant]]:
    """A mailbox's whole list, its owner first. Raises NoSuchMailbox, and NoRight without the right `a`."""
    access = resolve(tx, account, name)
    access.need("a")
    rows = tx.all(
        "SELECT identifier, rights FROM acl WHERE account = ? AND mailbox = ? ORDER BY identifier",
        access.account,
        access.mailbox.id,
    )
    owner = _address(tx, access.account)
    owned = [] if owner == PUBLIC_ADDRESS else [Grant(owner, RIGHTS)]
    return access, owned + [Grant(*row) for row in rows]


def read_visible(tx: Transaction, account: int, name: str) -> Access:
    """A mailbox of whose rights one may know one's own (RFC 4314 4, MYRIGHTS). Raises NoSuchMailbox."""
    access = resolve(tx, account, name)
    if not any(right in access.rights for right in "lrikxa"):
        raise NoSuchMailbox(f"no mailbox {name!r}")
    return access


def read_grantable(tx: Transaction, account: int, name: str, identifier: str) -> tuple[Access, str]:
    """A mailbox, and the rights on it that an identifier has whatever the list says. Raises as `read_acl`."""
    access = resolve(tx, account, name)
    access.need("a")
    owned = normal_identifier(identifier) == _address(tx, access.account)
    return access, RIGHTS if owned else ""


def resolve_held(tx: Transaction, account: int, name: str) -> Access:
    """As `resolve`, for who is about to change something there: it holds the owner, so that it stays true."""
    access = resolve(tx, account, name)
    if not tx.dialect.for_update:
        return access
    changes.hold(tx, access.account)
    return resolve(tx, account, name)


def set_acl(tx: Transaction, account: int, name: str, identifier: str, mode: str, rights: str) -> None:
    """Replace ('' as mode), add ('+') or take away ('-') an identifier's rights; with none left it is forgotten.

    Raises NoSuchMailbox, NoRight, InvalidIdentifier, and NotAllowed for the owner, for an address that is no
    account's, and for too long a list.
    """
    access = resolve_held(tx, account, name)
    access.need("a")
    identifier = normal_identifier(identifier)
    if identifier.removeprefix("-") == _address(tx, access.account):
        raise NotAllowed("the owner of a mailbox always has all rights on it")
    set_rights(tx, access.account, access.mailbox.id, identifier, mode, rights)


def delete_acl(tx: Transaction, account: int, name: str, identifier: str) -> None:
    """Forget an identifier. Raises NoSuchMailbox, NoRight, InvalidIdentifier."""
    access = resolve_held(tx, account, name)
    access.need("a")
    _write(tx, access.account, access.mailbox.id, normal_identifier(identifier), "")


def set_rights(tx: Transaction, owner: int, mailbox: int, identifier: str, mode: str, rights: str) -> None:
    """As `set_acl`, for whoever needs no right to do so; `identifier` is in its normal form.

    Raises NotAllowed for an address that is no account's, and for too long a list.
    """
    address = identifier.removeprefix("-")
    if address != ANYONE and tx.one("SELECT 1 FROM accounts WHERE address = ?", address) is None:
        raise NotAllowed(f"there is no account {address} here")
    changes.hold(tx, owner)
    rows = tx.all("SELECT identifier, rights FROM acl WHERE account = ? AND mailbox = ?", owner, mailbox)
    before = {str(name): str(had) for name, had in rows}
    had = before.get(identifier, "")
    after = set(had) | set(rights) if mode == "+" else set(had) - set(rights) if mode == "-" else set(rights)
    if after and identifier not in before and len(before) >= MAX_IDENTIFIERS:
        raise NotAllowed(f"the list names {MAX_IDENTIFIERS} identifiers already; delete some")
    _write(tx, owner, mailbox, identifier, ordered(after))


def _write(tx: Transaction, owner: int, mailbox: int, identifier: str, rights: str) -> None:
    # Sessions that have the mailbox selected learn of it from the change log.
    modseq = changes.next_modseq(tx, owner)
    if rights:
        tx.run(
            "INSERT INTO acl (account, mailbox, identifier, rights) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (account, mailbox, identifier) DO UPDATE SET rights = excluded.rights",
            owner,
            mailbox,
            identifier,
            rights,
        )
    else:
        tx.run(
            "DELETE FROM acl WHERE account = ? AND mailbox = ? AND identifier = ?", owner, mailbox, identifier
        )
    changes.append(tx, owner, modseq, mailbox, Kind.MAILBOX)
    tx.announce(SERVER, 0)  # who could not see the mailbox did not listen to its owner


def forget_account(tx: Transaction, account: int, address: str) -> None:
    """Forget what was granted to and by an account: who gets the address later must not inherit it."""
    tx.run("DELETE FROM acl WHERE account = ? OR identifier IN (?, ?)", account, address, f"-{address}")
    tx.run("DELETE FROM annotations WHERE account = ? OR reader = ?", account, account)
    tx.run("DELETE FROM url_keys WHERE account = ? OR owner = ?", account, account)


def _address(tx: Transaction, account: int) -> str:
    row = tx.one("SELECT address FROM accounts WHERE id = ?", account)
    return "" if row is None else str(row[0])


# Mailboxes, whoever owns them


def create_mailbox(tx: Transaction, account: int, name: str, role: str | None = None) -> tuple[int, Mailbox]:
    """As `mailboxes.create_mailbox`, with the owner; another's needs `k` on the nearest mailbox above it.

    Raises NoRight too.
    """
    owner, path = _locate_new(tx, account, name)
    if owner != account:
        if role is not None:
            raise NotAllowed("a special use belongs to one's own mailboxes only")
        _need_create(tx, account, owner, path)
    return owner, mailboxes.create_mailbox(tx, owner, path, role=role)


def delete_mailbox(tx: Transaction, account: int, name: str) -> None:
    """As `mailboxes.delete_mailbox`; another's needs `x`. Raises NoRight too."""
    access = resolve(tx, account, name)
    access.need("x")
    mailboxes.delete_mailbox(tx, access.account, access.mailbox.name)


def rename_mailbox(tx: Transaction, account: int, name: str, new_name: str) -> None:
    """As `mailboxes.rename_mailbox`; another's needs `x` on it and `k` above its new place. Raises NoRight too."""
    holder, old_path = locate(tx, account, name)
    if holder != account:
        access = resolve(tx, account, name)
        access.need("x")
        old_path = access.mailbox.name
    owner, path = _locate_new(tx, account, new_name)
    if owner != holder:
        raise NotAllowed("a mailbox stays with its owner: create a new one and copy the messages")
    if owner != account:
        if old_path == "INBOX":
            raise NotAllowed("only its owner can rename INBOX")
        _need_create(tx, account, owner, path)
    mailboxes.rename_mailbox(tx, owner, old_path, path)


def may_create(tx: Transaction, account: int, name: str) -> bool:
    """Whether CREATE of this name is worth a try, which `[TRYCREATE]` says."""
    try:
        owner, path = _locate_new(tx, account, name)
        if owner != account:
            _need_create(tx, account, owner, path)
    except StoreError:
        return False
    return True


def _locate_new(tx: Transaction, account: int, name: str) -> tuple[int, str]:
    if name.rstrip("/") in (OTHER_USERS, PUBLIC):
        raise mailboxes.InvalidName(f"{name!r} stands above the mailboxes of others; choose another name")
    try:
        owner, path = locate(tx, account, name)
    except NoSuchMailbox:
        raise NoRight(_NO_CREATE) from None
    return owner, mailboxes.normal_name(path)  # rights are looked up by the names that are kept


def _need_create(tx: Transaction, account: int, owner: int, path: str) -> None:
    """RFC 4314 4: `k` on the nearest mailbox above. What is not there and what is hidden get the same answer."""
    parent = path.rpartition("/")[0]
    mailbox = ROOT
    while parent and mailbox == ROOT:
        row = tx.one("SELECT id FROM mailboxes WHERE account = ? AND name = ?", owner, parent)
        mailbox = ROOT if row is None else int(row[0])
        parent = parent.rpartition("/")[0]
    if "k" not in read_rights(tx, account, owner, mailbox):
        raise NoRight(_NO_CREATE)


_NO_CREATE: Final = "you may not create mailboxes there; ask the owner for the right 'k'"


# Public folders


def public_account(tx: Transaction, *, now: int) -> int:
    """The account that owns the public folders; made when it is first asked for."""
    row = tx.one("SELECT id FROM accounts WHERE address = ?", PUBLIC_ADDRESS)
    if row is None:
        row = tx.one(
            "INSERT INTO accounts (address, display_name, disabled, created_at) VALUES (?, ?, 1, ?) RETURNING id",
            PUBLIC_ADDRESS,
            "Public folders",
            now,
        )
        assert row is not None
        tx.run(
            "INSERT INTO account_state (account, modseq, last_id, bytes, messages) VALUES (?, 0, 0, 0, 0)",
            row[0],
        )
    return int(row[0])


def grant_public(tx: Transaction, identifier: str, rights: str, *, now: int) -> None:
    """Let somebody make folders at the top of the public ones (`k`); new ones there begin with these rights.

    Raises InvalidIdentifier, NotAllowed.
    """
    set_rights(tx, public_account(tx, now=now), ROOT, normal_identifier(identifier), "", ordered(rights))


def public_grants(tx: Transaction) -> list[Grant]:
    """What `grant_public` gave."""
    rows = tx.all(
        "SELECT identifier, rights FROM acl JOIN accounts ON accounts.id = acl.account"
        " WHERE address = ? AND mailbox = ? ORDER BY identifier",
        PUBLIC_ADDRESS,
        ROOT,
    )
    return [Grant(*row) for row in rows]


def without_role(mailbox: Mailbox, name: str) -> Mailbox:
    """A mailbox of another's as one sees it: its special use is the owner's affair."""
    return replace(mailbox, name=name, role=None)
