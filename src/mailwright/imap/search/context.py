"""Results that are kept up to date: RETURN (UPDATE) of RFC 5267 4.3."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Set
from typing import TYPE_CHECKING, Final

from mailwright.imap import responses
from mailwright.imap.commands.fetch import send_items
from mailwright.imap.connection import Command
from mailwright.imap.reply import Refused
from mailwright.imap.search.answer import to_numbers
from mailwright.imap.search.find import find, resolve
from mailwright.imap.search.order import sort_uids
from mailwright.imap.search.program import pin
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
    """A result that the client has, in order, as of `modseq`. `criteria` None: the order means nothing.

    `by_uid`: the client calls the messages by their UIDs.
    """

    __slots__ = ("by_uid", "criteria", "items", "key", "modseq", "uids")

    def __init__(
        self,
        key: keys.Key,
        criteria: tuple[Criterion, ...] | None,
        uids: array[int],
        modseq: int,
        items: tuple[Attribute, ...],
        by_uid: bool,
    ) -> None:
        self.items = items  # to be fetched of messages that arrive and belong to it
        self.key = key
        self.criteria = criteria
        self.uids = uids
        self.modseq = modseq
        self.by_uid = by_uid

    def leave(self, tag: str, numbers: dict[int, int]) -> bytes:
        """The response for messages of these UIDs and sequence numbers, which are expunged (RFC 5267 4.3.4)."""
        gone = numbers.keys() & self.uids if not self.by_uid else set()
        if not gone:
            return b""
        left = self.removed(gone, numbers)
        self.uids = array("I", [uid for uid in self.uids if uid not in gone])
        return responses.esearch(tag, False, left)

    def removed(self, gone: Set[int], names: Mapping[int, int]) -> list[tuple[str, str]]:
        """REMOVEFROM for members, by the names that the client has for them."""
        # Each position holds once the pairs before it are carried out: from the end down.
        return self._told("REMOVEFROM", reversed(list(enumerate(self.uids, 1))), gone, names)

    def added(self, new: Set[int], names: Mapping[int, int]) -> list[tuple[str, str]]:
        """ADDTO for new members, which `uids` holds already."""
        return self._told("ADDTO", enumerate(self.uids, 1), new, names)

    def _told(
        self, word: str, places: Iterable[tuple[int, int]], chosen: Set[int], names: Mapping[int, int]
    ) -> list[tuple[str, str]]:
        if not chosen:
            return []
        text = f"0 {format_set(sorted(names[uid] for uid in chosen))}"
        if self.criteria is not None:
            text = " ".join([f"{place} {names[uid]}" for place, uid in places if uid in chosen])
        return [(word, f"({text})")]


async def follow(
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
    program = pin(args.key, await resolve(session, args.key))
    selected.contexts[command.tag] = Context(program, criteria, uids, since, args.returns.items, command.uid)


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
            session.write(responses.esearch(tag, context.by_uid, values))


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
    left = array("I", [uid for uid in context.uids if uid not in gone])
    if new:
        left = array("I", sorted(members - gone | new))
        if context.criteria is not None:
            left = await sort_uids(session, selected.key, left, context.criteria)
            # What was expunged only now is not among the sorted: it leaves at once.
            gone, new = members.difference(left), new.intersection(left)
    names = await _names(session, selected, sorted(gone | new), context.by_uid)
    values = context.removed(gone, names)
    context.uids = left
    return values + context.added(new, names)


async def _names(session: Session, selected: Selected, uids: list[int], by_uid: bool) -> Mapping[int, int]:
    """What the client calls these messages, which it knows."""
    return dict(zip(uids, uids if by_uid else await to_numbers(session, selected, uids), strict=True))


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
