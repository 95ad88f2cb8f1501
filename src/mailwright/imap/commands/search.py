"""SEARCH and UID SEARCH (RFC 3501 6.4.4, RFC 4731, RFC 5182, RFC 7162 3.1.5, RFC 9394)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap import responses
from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply
from mailwright.imap.search.answer import answer, search
from mailwright.imap.search.context import follow
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.syntax.search import SearchArgs, parse_search

if TYPE_CHECKING:
    from mailwright.imap.session import Session


def parse(lexer: Lexer) -> SearchArgs:
    lexer.space()
    return parse_search(lexer)


async def run(session: Session, command: Command) -> Reply:
    args: SearchArgs = command.args
    selected = session.open_mailbox()
    since = selected.view.modseq
    found = await search(session, selected, command, args)
    await answer(session, selected, command, args, found, responses.search)
    await follow(session, selected, command, args, None, found.uids, since)
    return Reply("SEARCH completed")
