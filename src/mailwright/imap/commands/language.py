"""LANGUAGE (RFC 5255 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap.connection import Command
from mailwright.imap.languages import LANGUAGES, choose_language
from mailwright.imap.reply import Refused, Reply
from mailwright.imap.syntax.lexer import BadSyntax, Lexer

if TYPE_CHECKING:
    from mailwright.imap.session import Session

MAX_RANGES = 50


def parse(lexer: Lexer) -> list[str]:
    """Language ranges, the one that is liked best first; none asks what there is."""
    ranges: list[str] = []
    while lexer.peek() == 32 and lexer.pos + 1 < len(lexer.text):
        lexer.space()
        ranges.append(lexer.astring().decode("ascii", "replace"))
        if len(ranges) > MAX_RANGES:
            raise BadSyntax(f"At most {MAX_RANGES} languages")
    return ranges


async def run(session: Session, command: Command) -> Reply:
    if not command.args:
        session.write(_response(LANGUAGES))
        return Reply("LANGUAGE completed")
    chosen = choose_language(command.args)
    if not chosen:
        raise Refused("No language of these is spoken here")
    session.language = chosen
    session.write(_response((chosen,)))
    return Reply("Texts come in this language now")


def _response(tags: tuple[str, ...]) -> bytes:
    return f"* LANGUAGE ({' '.join(tags)})\r\n".encode("ascii")
