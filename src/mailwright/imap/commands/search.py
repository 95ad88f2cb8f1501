"""SEARCH and UID SEARCH (RFC 3501 6.4.4, RFC 4731, RFC 5182, RFC 7162 3.1.5)."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from mailwright.imap import responses
from mailwright.imap.connection import Command
from mailwright.imap.news import load_from_uid
from mailwright.imap.reply import Refused, Reply
from mailwright.imap.search.find import find
from mailwright.imap.selected import Selected
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
    saving = args.returns is not None and "SAVE" in args.returns.names
    try:
        found = await find(session, selected, args.key, command.tag, args.uses_modseq)
    except Refused:
        if saving:
            selected.saved = array("I")  # RFC 5182 2.1: a search that fails leaves nothing saved
        raise
    if args.uses_modseq:
        session.enabled |= {"CONDSTORE"}
    numbers = found.uids.tolist() if command.uid else await _numbers(session, selected, found.uids)
    modseq = found.modseq if args.uses_modseq else 0
    if args.returns is None:
        session.write(responses.search(numbers, modseq))
        return Reply("SEARCH completed")
    if saving:
        _save(selected, found.uids, args.returns.names)
    values = responses.search_return(numbers, args.returns.names, modseq)
    if args.returns.names != {"SAVE"}:
        session.write(responses.esearch(command.tag, command.uid, values))
    return Reply("SEARCH completed")


async def _numbers(session: Session, selected: Selected, uids: array[int]) -> list[int]:
    view = selected.view
    if uids and view.missing(uids[0]):
        await load_from_uid(session, uids[0])
    return [number for uid in uids if (number := view.number(uid))]


def _save(selected: Selected, uids: array[int], names: frozenset[str]) -> None:
    """Keep the result for `$` (RFC 5182 2.1): with only MIN or MAX just those."""
    chosen = uids
    if uids and names & {"MIN", "MAX"} and not names & {"ALL", "COUNT"}:
        ends = ([uids[0]] if "MIN" in names else []) + ([uids[-1]] if "MAX" in names else [])
        chosen = array("I", sorted(set(ends)))
    selected.saved = chosen
