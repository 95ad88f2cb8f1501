"""ENABLE (RFC 5161)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply
from mailwright.imap.syntax.lexer import Lexer

if TYPE_CHECKING:
    from mailwright.imap.session import Session

ENABLEABLE: Final = frozenset({"CONDSTORE"})


def parse(lexer: Lexer) -> tuple[str, ...]:
    lexer.space()
    words = [lexer.word()]
    while lexer.peek() == 32 and lexer.pos + 1 < len(lexer.text):
        lexer.space()
        words.append(lexer.word())
    return tuple(dict.fromkeys(words))


async def run(session: Session, command: Command) -> Reply:
    # RFC 5161 3.1: what is unknown is passed over; only what is now newly on is listed.
    new = [word for word in command.args if word in ENABLEABLE and word not in session.enabled]
    session.enabled = session.enabled.union(new)
    session.write(f"* ENABLED {' '.join(new)}".rstrip().encode("ascii") + b"\r\n")
    return Reply("ENABLE completed")
