"""Results that are kept up to date: RETURN (UPDATE) of RFC 5267 4.3."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from mailwright.imap import responses
from mailwright.imap.commands.fetch import send_items
from mailwright.imap.connection import Command
from mailwright.imap.reply import Refused
from mailwright.imap.search.find import find
from mailwright.imap.search.order import sort_uids
from mailwright.imap.selected import Selected
from mailwright.imap.syntax import search as keys
from mailwright.imap.syntax.fetch import Attribute
from mailwright.imap.syntax.sequence import Range, SequenceSet, contains, format_set, join_ranges, to_ranges
from mailwright.imap.syntax.sort import Criterion
from mailwright.imap.view import Key
from mailwright.store.changes import read_changes
from mailwright.store.db.api import Transaction
from mailwright.store.model import PLACES, Kind
from mailwright.store.sets import unpack_ranges

if TYPE_CHECKING:
    from mailwright.imap.session import Session

MAX_CONTEXTS: Final = 10  # in one session


class Context:
    """A result that the client has, in order, as of `modseq`. `criteria` None: the order means nothing."""

    __slots__ = ("criteria", "items", "key", "modseq", "uids")

    def __init__(
        self,
        key: keys.Key,
        criteria: tuple[Criterion, ...] | None,
        uids: array[int],
        modseq: int,
        items: tuple[Attribute, ...] = (),
    ) -> None:
        self.items = items  # to be fetched of messages that arrive and belong to it
        self.key = key
        self.criteria = criteria
        self.uids = uids
        self.modseq = modseq


def follow(
    session: Session,
    selected: Selected,
    command: Command,
    args: keys.SearchArgs,
    criteria: tuple[Criterion, ...] | None,
    uids: array[int],
    since: int,
) -> None:
    """Keep the result up to date when UPDATE asks for it; `since` is the view's modseq before the search."""
    if args.returns is None or "UPDATE" not in args.returns.names:
        return
    if len(selected.contexts) >= MAX_CONTEXTS:
        session.write(refusal(command.tag, f"At most {MAX_CONTEXTS} results are kept up to date"))
        return
    if not command.uid:  # sequence numbers would have to be told as they were at each moment
        session.write(refusal(command.tag, "Only results of UIDs are kept up to date"))
        return
    selected.contexts[command.tag] = Context(args.key, criteria, uids, since, args.returns.items)


def refusal(tag: str, why: str) -> bytes:
    """A result is not, or no more, kept up to date (RFC 5267 4.3.1)."""
    return responses.untagged("NO", why, f'NOUPDATE "{tag}"')


async def tell_contexts(session: Session) -> None:
    """Tell the client what came to its results and what left them."""
    selected = session.selected
    if selected is None or selected.gone:
        return
    for tag, context in list(selected.contexts.items()):
        modseq = selected.view.modseq
        if context.modseq == modseq:
            continue
        try:
            values = await _update(session, selected, context)
        except Refused as refused:
            del selected.contexts[tag]
            session.write(refusal(tag, refused.text))
            continue
        context.modseq = modseq
        if values:
            session.write(responses.esearch(tag, True, values))


async def _update(session: Session, selected: Selected, context: Context) -> list[tuple[str, str]]:
    """Bring a result up to date; what the client is to be told. Raises Refused."""
    touched, arrived = await session.service.store.read(read_touched, selected.key, context.modseq)
    if not touched:
        return []
    among = keys.Uids(SequenceSet(tuple(touched)))
    found = await find(session, selected, keys.And((among, context.key)))
    matching = set(found.uids)
    members = set(context.uids)
    changed = {uid for uid in context.uids if contains(touched, uid)}
    gone, new = changed - matching, matching - members
    if not gone and not new:
        return []
    if context.items and (came_now := [uid for uid in sorted(new) if contains(arrived, uid)]):
        # RFC 5465 7: before the ESEARCH response, and not for what only changed.
        runs = selected.view.runs_of_uids(to_ranges(came_now))
        await send_items(session, selected, runs, list(context.items))
    if context.criteria is None:
        context.uids = array("I", sorted(members - gone | new))
        values = [("REMOVEFROM", f"(0 {format_set(sorted(gone))})")] if gone else []
        return [*values, ("ADDTO", f"(0 {format_set(sorted(new))})")] if new else values
    before = list(context.uids)
    context.uids = array("I", [uid for uid in before if uid not in gone])
    if new:
        everything = array("I", sorted(members - gone | new))
        context.uids = await sort_uids(session, selected.key, everything, context.criteria)
    # Each position holds once the pairs before it are carried out: from the end down, then from the start up.
    left = [f"{place} {uid}" for place, uid in reversed(list(enumerate(before, 1))) if uid in gone]
    came = [f"{place} {uid}" for place, uid in enumerate(context.uids, 1) if uid in new]
    values = [("REMOVEFROM", f"({' '.join(left)})")] if left else []
    return [*values, ("ADDTO", f"({' '.join(came)})")] if came else values


def read_touched(tx: Transaction, key: Key, since: int) -> tuple[list[Range], list[Range]]:
    """The UIDs of what arrived, changed or went after a modseq, and of what arrived."""
    account, mailbox = key
    touched: list[Range] = []
    arrived: list[Range] = []
    for change in read_changes(tx, account, since, mailbox):
        if change.kind in PLACES:
            touched += unpack_ranges(change.uids)
        if change.kind == Kind.ARRIVED:
            arrived += unpack_ranges(change.uids)
    return join_ranges(touched), join_ranges(arrived)
