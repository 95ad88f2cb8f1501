"""STATUS (RFC 3501 6.3.10, RFC 7889, RFC 8438, RFC 8474)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mailwright.imap import responses
from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply
from mailwright.imap.service import Service
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.syntax.mailbox import parse_mailbox, parse_status_items
from mailwright.imap.syntax.objects import mailbox_id
from mailwright.store import acl
from mailwright.store.db.api import Transaction
from mailwright.store.model import Mailbox
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
    service = session.service
    line = await service.store.read(
        read_status, session.account_id, args.mailbox, args.items, service, session.utf8
    )
    if "HIGHESTMODSEQ" in args.items:
        session.enabled |= {"CONDSTORE"}  # RFC 7162 3.1: asking for it enables it
    session.write(line)
    return Reply("STATUS completed")


def read_status(
    tx: Transaction, account: int, name: str, items: tuple[str, ...], service: Service, utf8: bool = False
) -> bytes:
    """The STATUS response of a mailbox by its name. Raises NoSuchMailbox, NoRight."""
    access = acl.resolve(tx, account, name)
    access.need("r")
    return status_line(tx, service, access.account, access.mailbox, items, access.name, utf8)


def status_line(
    tx: Transaction,
    service: Service,
    account: int,
    mailbox: Mailbox,
    items: tuple[str, ...],
    name: str,
    utf8: bool = False,
) -> bytes:
    """The STATUS response with these items, of a mailbox of `account` that the client calls `name`."""
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
    }
    if "DELETED-STORAGE" in items:
        values["DELETED-STORAGE"] = read_deleted_size(tx, account, mailbox.id) if mailbox.deleted else 0
    return responses.status(name, [(item, values[item]) for item in items], utf8)
