"""SETACL (RFC 4314 3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap.connection import Command
from mailwright.imap.reply import Bad, Reply
from mailwright.imap.syntax.acl import AclArgs, parse_setacl
from mailwright.imap.syntax.lexer import Lexer
from mailwright.store.acl import InvalidIdentifier, set_acl

if TYPE_CHECKING:
    from mailwright.imap.session import Session


def parse(lexer: Lexer) -> AclArgs:
    lexer.space()
    return parse_setacl(lexer)


async def run(session: Session, command: Command) -> Reply:
    mailbox, identifier, _, mode, rights = command.args
    try:
        await session.service.store.write(set_acl, session.account_id, mailbox, identifier, mode, rights)
    except InvalidIdentifier as error:
        raise Bad(f"SETACL: {error}") from None
    return Reply("SETACL completed")
