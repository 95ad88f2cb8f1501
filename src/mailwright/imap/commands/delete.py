"""DELETE (RFC 3501 6.3.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.syntax.mailbox import parse_mailbox
from mailwright.store.acl import delete_mailbox

if TYPE_CHECKING:
    from mailwright.imap.session import Session


def parse(lexer: Lexer) -> str:
    lexer.space()
    return parse_mailbox(lexer)


async def run(session: Session, command: Command) -> Reply:
    await session.service.store.write(delete_mailbox, session.account_id, command.args)
    session.note_own_names(command.args)
    return Reply("DELETE completed")
