"""GETMETADATA (RFC 5464 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap import responses
from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.syntax.metadata import GetMetadataArgs, parse_getmetadata
from mailwright.store import metadata

if TYPE_CHECKING:
    from mailwright.imap.session import Session


def parse(lexer: Lexer) -> GetMetadataArgs:
    lexer.space()
    return parse_getmetadata(lexer)


async def run(session: Session, command: Command) -> Reply:
    args: GetMetadataArgs = command.args
    found, longest = await session.service.store.read(
        metadata.read,
        session.account_id,
        args.mailbox,
        args.entries,
        depth=args.depth,
        max_size=args.max_size,
    )
    session.write(responses.metadata(args.mailbox, found, session.utf8))
    return Reply("GETMETADATA completed", f"METADATA LONGENTRIES {longest}" if longest else "")
