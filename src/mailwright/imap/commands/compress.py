"""COMPRESS (RFC 4978)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap.connection import Command
from mailwright.imap.deflated import DeflatedStream
from mailwright.imap.reply import Bad, Refused
from mailwright.imap.syntax.lexer import Lexer

if TYPE_CHECKING:
    from mailwright.imap.session import Session


def parse(lexer: Lexer) -> str:
    lexer.space()
    return lexer.word()


async def run(session: Session, command: Command) -> None:
    if command.args != "DEFLATE":
        raise Bad(f"The only compression is DEFLATE, not {command.args}")
    if isinstance(session.stream, DeflatedStream):
        raise Refused("The connection is compressed already", "COMPRESSIONACTIVE")
    session.write(session.tagged(command.tag, "OK", "Compression begins now"))
    await session.drain()
    # A client waits for the reply (RFC 4978 3): what came before it was neither compressed nor in order.
    session.connection.reset()
    session.stream = DeflatedStream(session.stream)
