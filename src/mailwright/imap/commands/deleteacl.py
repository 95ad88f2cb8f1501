"""DELETEACL (RFC 4314 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap.connection import Command
from mailwright.imap.reply import Bad, Reply
from mailwright.imap.syntax.acl import AclArgs, parse_identified
from mailwright.imap.syntax.lexer import Lexer
from mailwright.store.acl import InvalidIdentifier, delete_acl

if TYPE_CHECKING:
    from mailwright.imap.session import Session


def parse(lexer: Lexer) -> AclArgs:
    lexer.space()
    return parse_identified(lexer)


async def run(session: Session, command: Command) -> Reply:
    args: AclArgs = command.args
    try:
        await session.service.store.write(delete_acl, session.account_id, args.mailbox, args.identifier)
    except InvalidIdentifier as error:
        raise Bad(f"DELETEACL: {error}") from None
    return Reply("DELETEACL completed")
