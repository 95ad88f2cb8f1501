"""ID (RFC 2971)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright import __version__
from mailwright.imap import responses
from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.syntax.mailbox import IdArgs, parse_id

if TYPE_CHECKING:
    from mailwright.imap.session import Session


def parse(lexer: Lexer) -> IdArgs:
    lexer.space()
    return parse_id(lexer)


async def run(session: Session, command: Command) -> Reply:
    session.write(responses.id_fields([("name", "Mailwright"), ("version", __version__)]))
    return Reply("ID completed")
