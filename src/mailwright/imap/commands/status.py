"""STATUS (RFC 3501 6.3.10, RFC 7889, RFC 8438, RFC 8474)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mailwright.imap import responses
from mailwright.imap.connection import Command
from mailwright.imap.journal import Box
from mailwright.imap.reply import Reply
from mailwright.imap.service import Service
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.syntax.mailbox import parse_mailbox, parse_status_items
from mailwright.imap.syntax.objects import mailbox_id
from mailwright.store import acl
from mailwright.store.acl import Access
from mailwright.store.changes import read_modseq
from mailwright.store.db.api import Transaction
from mailwright.store.quota import read_deleted_size
from mailwright.store.reading import read_uids

if TYPE_CHECKING:
    from mailwright.imap.session import Session


class StatusArgs(NamedTuple):
    mailbox: str
    items: tuple[str, ...]


def parse(lexer: Lexer) -> StatusArgs:
    lexer.space()
    mailbox = parse_mailbox(lexer)
    lexer.space()
    return StatusArgs(mailbox, parse_status_items(lexer))


async def run(session: Session, command: Command) -> Reply:
    args: StatusArgs = command.args
    account, name = session.account_id, args.mailbox
    journal = session.service.journal
    found = None if acl.is_shared(name) else await journal.box(account, name)
    if found is not None and not _counted(session.service, found.access, args.items):
        box, counts = found, Counts()
    else:
        service = session.service
        box, counts = await service.store.read_briefly(read_status, account, name, service, args.items)
        if box.access.account == account:
            journal.keep(name, box)
    access = box.access if session.selected is None else session.selected.as_known(box.access)
    line = status_line(session.service, access, args.items, counts, session.utf8)
    if "HIGHESTMODSEQ" in args.items:
        session.use_condstore()
    session.write(line)
    return Reply("STATUS completed")


class Counts(NamedTuple):
    r"""What a mailbox's row does not tell: the octets flagged \Deleted, and the messages that are \Recent."""

    deleted_size: int = 0
    recent: int = 0


def _counted(service: Service, access: Access, items: tuple[str, ...]) -> bool:
    """Whether the items need `Counts`."""
    key = (access.account, access.mailbox.id)
    recent = "RECENT" in items and not service.recents.all_claimed(key, access.mailbox.uidnext)
    return recent or "DELETED-STORAGE" in items


def read_box(tx: Transaction, account: int, name: str) -> Box:
    """A mailbox by its name. Raises NoSuchMailbox, NoRight."""
    access = acl.resolve(tx, account, name)
    access.need("r")
    return Box(access, read_modseq(tx, access.account))


def read_status(
    tx: Transaction, account: int, name: str, service: Service, items: tuple[str, ...]
) -> tuple[Box, Counts]:
    """What STATUS tells of a mailbox: see `status_line`. Raises NoSuchMailbox, NoRight."""
    box = read_box(tx, account, name)
    return box, read_counts(tx, service, box.access, items)


def read_counts(tx: Transaction, service: Service, access: Access, items: tuple[str, ...]) -> Counts:
    """As far as they are asked for."""
    key = (access.account, access.mailbox.id)
    deleted_size = recent = 0
    if "DELETED-STORAGE" in items and access.mailbox.deleted:
        deleted_size = read_deleted_size(tx, *key)
    if "RECENT" in items:
        first = service.recents.find_first(tx, key, access.mailbox.uidnext)
        recent = len(read_uids(tx, *key, first)) if first < access.mailbox.uidnext else 0
    return Counts(deleted_size, recent)


def status_line(
    service: Service, access: Access, items: tuple[str, ...], counts: Counts, utf8: bool = False
) -> bytes:
    """The STATUS response with these items."""
    values = [(item, _value(service, access, item, counts)) for item in items]
    return responses.status(access.name, values, utf8)


def _value(service: Service, access: Access, item: str, counts: Counts) -> int | str:
    mailbox = access.mailbox
    match item:
        case "MESSAGES":
            return mailbox.messages
        case "UIDNEXT":
            return mailbox.uidnext
        case "UIDVALIDITY":
            return mailbox.uidvalidity
        case "UNSEEN":
            return mailbox.unseen
        case "SIZE":
            return mailbox.bytes
        case "DELETED":
            return mailbox.deleted
        case "HIGHESTMODSEQ":
            return mailbox.modseq
        case "MAILBOXID":
            return f"({mailbox_id(access.account, mailbox.id)})"
        case "APPENDLIMIT":
            return service.limits.message_size
        case "RECENT":
            return counts.recent
        case _:
            assert item == "DELETED-STORAGE"
            return counts.deleted_size
