"""Puts the messages that were found in the order of SORT."""

from __future__ import annotations

from array import array
from bisect import bisect
from typing import TYPE_CHECKING, Any, Final

from mailwright.imap.search.keys import portions, read_rows
from mailwright.imap.sort import Order
from mailwright.imap.syntax.sort import Criterion
from mailwright.imap.view import Key
from mailwright.store.db.api import Transaction

if TYPE_CHECKING:
    from mailwright.imap.session import Session

_DEAR: Final = 200  # messages that are sorted as quickly as one is put among them


async def sort_uids(
    session: Session, key: Key, uids: array[int], criteria: tuple[Criterion, ...]
) -> array[int]:
    """Rising UIDs in another order, without those that are gone meanwhile."""
    store, orders, none = session.service.store, session.service.orders, array("I")
    known = orders.find((key, criteria), uids, none)
    if isinstance(known, array):
        return known
    order = Order(criteria)
    before = orders.last((key, criteria))
    if before is not None and isinstance(before[1], array):
        merged = await store.read(_merge, key, uids, before[0], before[1], order)
        if merged is not None:
            orders.keep((key, criteria), uids, none, merged)
            return merged
    present = array("I")
    for portion in portions(uids):
        present += await store.read(_collect, key, portion, order)
    places = await store.off_loop(order.order, len(present))
    ordered = array("I", [present[place] for place in places])
    if len(present) == len(uids):
        orders.keep((key, criteria), uids, none, ordered)
    return ordered


def _merge(
    tx: Transaction, key: Key, uids: array[int], before: array[int], ordered: array[int], order: Order
) -> array[int] | None:
    """Put what is new among the UIDs in its places; None when it is much, or something is gone from the store.

    `ordered` is the order of those that there were `before`.
    """
    wanted, known = set(uids), set(before)
    new = [uid for uid in uids if uid not in known]
    if len(new) * _DEAR > len(uids):
        return None
    merged = array("I", [uid for uid in ordered if uid in wanted])

    def rank(uid: int) -> Any:
        return order.comparable(read_rows(tx, key, [uid], order.columns)[0])

    try:
        for uid in new:
            merged.insert(bisect(merged, rank(uid), key=rank), uid)
    except IndexError:
        return None
    return merged


def _collect(tx: Transaction, key: Key, uids: array[int], order: Order) -> array[int]:
    rows = read_rows(tx, key, uids, order.columns)
    order.add(rows)
    return array("I", [row[-1] for row in rows])
