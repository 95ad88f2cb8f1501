"""Answers SEARCH and SORT: plainly, or with what RETURN asks for; and saves the result for `$`."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from mailwright.imap import responses
from mailwright.imap.connection import Command
from mailwright.imap.news import load_from_uid
from mailwright.imap.reply import Bad, Refused
from mailwright.imap.search.find import Found, find
from mailwright.imap.search.program import message_sets
from mailwright.imap.selected import Selected
from mailwright.imap.syntax.multisearch import MultisearchArgs
from mailwright.imap.syntax.returns import ReturnOptions
from mailwright.imap.syntax.search import Messages, SearchArgs
from mailwright.imap.syntax.sort import SortArgs, ThreadArgs
from mailwright.store.reading import read_places

if TYPE_CHECKING:
    from mailwright.imap.session import Session

ALL = ReturnOptions(frozenset({"ALL"}))


async def search(session: Session, selected: Selected, command: Command, args: SearchArgs) -> Found:
    """Find what the command asks for. Raises Refused, Bad."""
    if args.refusal is not None:
        raise Refused(args.refusal.text, args.refusal.code)
    check_charset(session, args)
    if "UIDONLY" in session.enabled and names_numbers(args):
        raise Bad("Sequence numbers are not used any more", "UIDREQUIRED")  # RFC 9586 3
    if args.returns is not None and "UPDATE" in args.returns.names and command.tag in selected.contexts:
        raise Bad("Another result is kept up to date under this tag; use a new one")  # RFC 5267 4.3
    found = await find(session, selected, args.key, command.tag, args.uses_modseq)
    if args.uses_modseq:
        session.use_condstore()
        session.showed_newest()
    return found


def check_charset(session: Session, args: SearchArgs) -> None:
    """Raises Bad for strings in another charset than the client agreed upon (RFC 6855 3, with its erratum)."""
    if "UTF8=ACCEPT" in session.enabled and args.charset not in ("UTF-8", "US-ASCII"):
        raise Bad("After ENABLE UTF8=ACCEPT all strings are in UTF-8; leave out the charset")


async def answer(
    session: Session,
    selected: Selected,
    command: Command,
    args: SearchArgs,
    found: Found,
    plain: Callable[[Iterable[int], int], bytes],
) -> None:
    """Send what was found, its UIDs in the order that was asked for; `plain` renders it without RETURN."""
    returns = args.returns
    if returns is None and session.rev2 and command.name == "SEARCH":
        returns = ALL  # RFC 9051 6.4.4
    numbers = found.uids if command.uid else await to_numbers(session, selected, found.uids)
    if returns is None:
        session.write(plain(numbers, found.modseq))
        return
    modseq = await _modseq(session, selected, found, returns)
    if "SAVE" in returns.names:
        save(selected, found.uids, returns)
    if returns.names != {"SAVE"} or returns.partial is not None:
        values = responses.search_return(numbers, returns.names, modseq, returns.partial)
        session.write(responses.esearch(command.tag, command.uid, values))


async def to_numbers(session: Session, selected: Selected, uids: Sequence[int]) -> list[int]:
    """The sequence numbers of UIDs, without those that the client was not told of."""
    view = selected.view
    if uids and view.missing_number(1) and view.missing(lowest := min(uids)):
        await load_from_uid(session, lowest)
    return view.numbers(uids)


async def _modseq(session: Session, selected: Selected, found: Found, returns: ReturnOptions) -> int:
    """The highest mod-sequence of what is returned: of MIN and MAX alone, theirs (RFC 7162 3.1.10)."""
    if not found.modseq or returns.partial is not None or not returns.names <= {"MIN", "MAX", "SAVE"}:
        return found.modseq
    ends = [found.uids[index] for name, index in (("MIN", 0), ("MAX", -1)) if name in returns.names]
    places = await session.service.store.read(read_places, *selected.key, ends)
    return max([place.modseq for place in places], default=found.modseq)


def save(selected: Selected, uids: array[int], returns: ReturnOptions) -> None:
    """Keep the result for `$` (RFC 5182 2.1, RFC 9394 3.2): without ALL and COUNT, only what is returned."""
    names = returns.names
    chosen: Iterable[int] = uids
    if uids and (names & {"MIN", "MAX"} or returns.partial is not None) and not names & {"ALL", "COUNT"}:
        some = set(responses.window(uids, returns.partial)) if returns.partial is not None else set()
        some |= {uids[index] for name, index in (("MIN", 0), ("MAX", -1)) if name in names}
        chosen = some
    selected.saved = array("I", sorted(chosen))


def forget_saved(selected: Selected, args: object) -> None:
    """A search with these arguments failed: when it was to be saved, nothing is saved now (RFC 5182 2.1)."""
    search = _search_of(args)
    if search is not None and search.returns is not None and "SAVE" in search.returns.names:
        selected.saved = array("I")


def names_numbers(args: object) -> bool:
    """Whether these are arguments of a search that names messages by their sequence numbers; `$` is none."""
    search = _search_of(args) if args is not None else None
    return search is not None and any(
        isinstance(one, Messages) and not one.numbers.saved for one in message_sets(search.key)
    )


_WITH_SEARCH: Final = (SortArgs, ThreadArgs, MultisearchArgs)


def _search_of(args: object) -> SearchArgs | None:
    if isinstance(args, _WITH_SEARCH):
        return args.search
    return args if isinstance(args, SearchArgs) else None
