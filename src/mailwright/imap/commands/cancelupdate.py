"""CANCELUPDATE (RFC 5267 4.3.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply
from mailwright.imap.syntax.lexer import Lexer

if TYPE_CHECKING:
    from mailwright.imap.session import Session


def parse(lexer: Lexer) -> tuple[str, ...]:
    tags: list[str] = []
    while not tags or (lexer.peek() == 32 and lexer.pos + 1 < len(lexer.text)):
        lexer.space()
        tags.append(lexer.string().decode("ascii", "replace"))
    return tuple(tags)


async def run(session: Session, command: Command) -> Reply:
    selected = session.open_mailbox()
    for tag in command.args:
        selected.contexts.pop(tag, None)
    return Reply("CANCELUPDATE completed")
