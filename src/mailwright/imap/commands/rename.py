"""RENAME (RFC 3501 6.3.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap import responses
from mailwright.imap.connection import Command
from mailwright.imap.reply import Refused, Reply
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.syntax.mailbox import parse_mailbox, why_not_creatable
from mailwright.store import metadata
from mailwright.store.acl import rename_mailbox
from mailwright.store.db.api import Transaction
from mailwright.store.mailboxes import find_mailbox, normal_name

if TYPE_CHECKING:
    from mailwright.imap.session import Session


def parse(lexer: Lexer) -> tuple[str, str]:
    lexer.space()
    name = parse_mailbox(lexer)
    lexer.space()
    return name, parse_mailbox(lexer)


async def run(session: Session, command: Command) -> Reply:
    name, new_name = command.args
    refusal = why_not_creatable(new_name)
    if refusal:
        raise Refused(refusal, "CANNOT")
    await session.service.store.write(rename, session.account_id, name, new_name)
    session.note_own_names(name, new_name)
    if session.rev2 and name != "INBOX":  # of INBOX only the messages went (RFC 9051 6.3.6)
        session.write(responses.listing(normal_name(new_name), [], utf8=True, old_name=name))
    return Reply("RENAME completed")


def rename(tx: Transaction, account: int, name: str, new_name: str) -> None:
    """As `acl.rename_mailbox`; the annotations of INBOX stay there and come to the new mailbox too (RFC 5464 4.1)."""
    rename_mailbox(tx, account, name, new_name)
    if name == "INBOX":
        inbox, new = find_mailbox(tx, account, name), find_mailbox(tx, account, new_name)
        metadata.copy(tx, account, inbox.id, new.id)
