"""SETMETADATA (RFC 5464 4.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap.connection import Command
from mailwright.imap.reply import Refused, Reply
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.syntax.metadata import SetMetadataArgs, parse_setmetadata
from mailwright.store import metadata
from mailwright.store.metadata import MAX_VALUE, Annotation, TooLarge, TooMany

if TYPE_CHECKING:
    from mailwright.imap.session import Session


def parse(lexer: Lexer) -> SetMetadataArgs:
    lexer.space()
    return parse_setmetadata(lexer)


async def run(session: Session, command: Command) -> Reply:
    args: SetMetadataArgs = command.args
    annotations = [Annotation(entry, value) for entry, value in args.entries]
    try:
        write = session.service.store.write(metadata.write, session.account_id, args.mailbox, annotations)
        session.note_own(*await write)
    except TooLarge as error:
        raise Refused(str(error), f"METADATA MAXSIZE {MAX_VALUE}") from None
    except TooMany as error:
        raise Refused(str(error), "METADATA TOOMANY") from None
    return Reply("SETMETADATA completed")
