"""Puts the messages that were found in the order of SORT."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from mailwright.imap.search.keys import portions, read_rows
from mailwright.imap.sort import Order
from mailwright.imap.syntax.sort import Criterion
from mailwright.imap.view import Key
from mailwright.store.db.api import Transaction

if TYPE_CHECKING:
    from mailwright.imap.session import Session


async def sort_uids(
    session: Session, key: Key, uids: array[int], criteria: tuple[Criterion, ...]
) -> array[int]:
    """Rising UIDs in another order, without those that are gone meanwhile."""
    store, orders, none = session.service.store, session.service.orders, array("I")
    known = orders.find((key, criteria), uids, none)
    if isinstance(known, array):
        return known
    order = Order(criteria)
    present = array("I")
    for portion in portions(uids):
        present += await store.read(_collect, key, portion, order)
    places = await store.off_loop(order.order, len(present))
    ordered = array("I", [present[place] for place in places])
    if len(present) == len(uids):
        orders.keep((key, criteria), uids, none, ordered)
    return ordered


def _collect(tx: Transaction, key: Key, uids: array[int], order: Order) -> array[int]:
    rows = read_rows(tx, key, uids, order.columns)
    order.add(rows)
    return array("I", [row[-1] for row in rows])
