"""SORT and UID SORT (RFC 5256 BASE.6.4.SORT, RFC 5267, RFC 5957)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap import responses
from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply
from mailwright.imap.search.answer import answer, search
from mailwright.imap.search.context import follow
from mailwright.imap.search.order import sort_uids
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.syntax.sort import SortArgs, parse_sort

if TYPE_CHECKING:
    from mailwright.imap.session import Session


def parse(lexer: Lexer) -> SortArgs:
    lexer.space()
    return parse_sort(lexer)


async def run(session: Session, command: Command) -> Reply:
    args: SortArgs = command.args
    selected = session.open_mailbox()
    since = selected.view.modseq
    found = await search(session, selected, command, args.search)
    ordered = await sort_uids(session, selected.key, found.uids, args.criteria)
    await answer(session, selected, command, args.search, found._replace(uids=ordered), responses.sort)
    await follow(session, selected, command, args.search, args.criteria, ordered, since)
    return Reply("SORT completed")
