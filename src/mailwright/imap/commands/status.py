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
    if found is not None and "DELETED-STORAGE" not in args.items:
        box, deleted_size = found, 0
    else:
        box, deleted_size = await session.service.store.read(read_status, account, name, args.items)
        if box.access.account == account:
            journal.keep(name, box)
    access = box.access if session.selected is None else session.selected.as_known(box.access)
    line = status_line(session.service, access, args.items, deleted_size, session.utf8)
    if "HIGHESTMODSEQ" in args.items:
        session.enabled |= {"CONDSTORE"}  # RFC 7162 3.1: asking for it enables it
    session.write(line)
    return Reply("STATUS completed")


def read_status(tx: Transaction, account: int, name: str, items: tuple[str, ...]) -> tuple[Box, int]:
    """What STATUS tells of a mailbox by its name: see `status_line`. Raises NoSuchMailbox, NoRight."""
    access = acl.resolve(tx, account, name)
    access.need("r")
    return Box(access, read_modseq(tx, access.account)), deleted_size_of(tx, access, items)


def deleted_size_of(tx: Transaction, access: Access, items: tuple[str, ...]) -> int:
    """The octets of messages flagged \\Deleted, if they are asked for."""
    if "DELETED-STORAGE" not in items or not access.mailbox.deleted:
        return 0
    return read_deleted_size(tx, access.account, access.mailbox.id)


def status_line(
    service: Service, access: Access, items: tuple[str, ...], deleted_size: int, utf8: bool = False
) -> bytes:
    """The STATUS response with these items."""
    account, mailbox, _, name = access
    values: dict[str, int | str] = {
        "MESSAGES": mailbox.messages,
        "UIDNEXT": mailbox.uidnext,
        "UIDVALIDITY": mailbox.uidvalidity,
        "UNSEEN": mailbox.unseen,
        "SIZE": mailbox.bytes,
        "DELETED": mailbox.deleted,
        "HIGHESTMODSEQ": mailbox.modseq,
        "MAILBOXID": f"({mailbox_id(account, mailbox.id)})",
        "APPENDLIMIT": service.limits.message_size,
        # Of a mailbox that nobody opened since the start, we would have to count.
        "RECENT": min(
            mailbox.messages, mailbox.uidnext - service.recents.first((account, mailbox.id), mailbox.uidnext)
        ),
        "DELETED-STORAGE": deleted_size,
    }
    return responses.status(name, [(item, values[item]) for item in items], utf8)
