"""STATUS (RFC 3501 6.3.10, RFC 8438)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mailwright.imap import responses
from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply
from mailwright.imap.service import Service
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.syntax.mailbox import parse_mailbox, parse_status_items
from mailwright.store.mailboxes import find_mailbox
from mailwright.store.model import Mailbox

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
    mailbox = await session.service.store.read(find_mailbox, session.account_id, args.mailbox)
    if "HIGHESTMODSEQ" in args.items:
        session.enabled |= {"CONDSTORE"}  # RFC 7162 3.1: asking for it enables it
    session.write(status_line(session.service, session.account_id, mailbox, args.items))
    return Reply("STATUS completed")


def status_line(service: Service, account: int, mailbox: Mailbox, items: tuple[str, ...]) -> bytes:
    """The STATUS response with these items."""
    values = {
        "MESSAGES": mailbox.messages,
        "UIDNEXT": mailbox.uidnext,
        "UIDVALIDITY": mailbox.uidvalidity,
        "UNSEEN": mailbox.unseen,
        "SIZE": mailbox.bytes,
        "DELETED": mailbox.deleted,
        "HIGHESTMODSEQ": mailbox.modseq,
        # Of a mailbox that nobody opened since the start, we would have to count.
        "RECENT": min(
            mailbox.messages, mailbox.uidnext - service.recents.first((account, mailbox.id), mailbox.uidnext)
        ),
    }
    return responses.status(mailbox.name, [(item, values[item]) for item in items])
