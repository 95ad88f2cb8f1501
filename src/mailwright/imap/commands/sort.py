"""SORT and UID SORT (RFC 5256 BASE.6.4.SORT, RFC 5267, RFC 5957)."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from mailwright.imap import responses
from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply
from mailwright.imap.search.answer import answer, search
from mailwright.imap.search.keys import portions, read_rows
from mailwright.imap.sort import Order
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.syntax.sort import Criterion, SortArgs, parse_sort
from mailwright.imap.view import Key
from mailwright.store.db.api import Transaction

if TYPE_CHECKING:
    from mailwright.imap.session import Session


def parse(lexer: Lexer) -> SortArgs:
    lexer.space()
    return parse_sort(lexer)


async def run(session: Session, command: Command) -> Reply:
    args: SortArgs = command.args
    selected = session.open_mailbox()
    found = await search(session, selected, command, args.search)
    ordered = await sort_uids(session, selected.key, found.uids, args.criteria)
    await answer(session, selected, command, args.search, found._replace(uids=ordered), responses.sort)
    return Reply("SORT completed")


async def sort_uids(
    session: Session, key: Key, uids: array[int], criteria: tuple[Criterion, ...]
) -> array[int]:
    """Rising UIDs in another order, without those that are gone meanwhile."""
    store = session.service.store
    order = Order(criteria)
    present = array("I")
    for portion in portions(uids):
        present += await store.read(_collect, key, portion, order)
    places = await store.off_loop(order.order, len(present))
    return array("I", [present[place] for place in places])


def _collect(tx: Transaction, key: Key, uids: array[int], order: Order) -> array[int]:
    rows = read_rows(tx, key, uids, order.columns)
    order.add(rows)
    return array("I", [row[-1] for row in rows])
