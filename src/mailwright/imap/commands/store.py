"""STORE and UID STORE (RFC 3501 6.4.6, RFC 7162 3.1.3)."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final, Literal

from mailwright.imap.commands.fetch import FLAGS, MODSEQ, UID, send_items
from mailwright.imap.connection import Command
from mailwright.imap.news import fetched, find_messages, tell_flags
from mailwright.imap.progress import highest_first, limited, patiently, with_limit
from mailwright.imap.reply import Refused, Reply
from mailwright.imap.selected import Selected
from mailwright.imap.syntax.flags import ALL_FLAGS, Flags
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.syntax.sequence import format_set
from mailwright.imap.syntax.store import StoreArgs, parse_store
from mailwright.imap.view import Run, View
from mailwright.store.acl import permitted_flags
from mailwright.store.db.api import FEW
from mailwright.store.flags import Changed, store_flags
from mailwright.store.model import Place

if TYPE_CHECKING:
    from mailwright.imap.session import Session

_ACTIONS: Final[dict[str, Literal["set", "add", "remove"]]] = {"": "set", "+": "add", "-": "remove"}


def parse(lexer: Lexer) -> StoreArgs:
    lexer.space()
    return parse_store(lexer)


async def run(session: Session, command: Command) -> Reply:
    args: StoreArgs = command.args
    selected = session.writable_mailbox()
    if args.unchanged_since is not None:
        session.use_condstore()
    rights = selected.rights
    permitted = permitted_flags(rights)
    mask = args.flags.mask & permitted
    keywords = args.flags.keywords if "w" in rights else ()
    if not permitted or (args.mode and args.flags != Flags() and not mask and not keywords):
        raise Refused("You may not change these flags here; ask the owner of the mailbox", "NOPERM")
    runs, limit = limited(session, await find_messages(session, args.numbers, command.uid))
    uids = _uids(runs)
    store = session.service.store
    write = store.write_briefly if len(uids) <= FEW else store.write
    work = write(
        store_flags,
        *selected.key,
        uids,
        _ACTIONS[args.mode],
        mask,
        keywords,
        unchanged_since=args.unchanged_since,
        kept=ALL_FLAGS & ~permitted,
        keep_keywords="w" not in rights,
    )
    changed = await patiently(session, command.tag, len(uids), work)
    if changed.modseq is not None:
        selected.own.add(changed.modseq)
    order = highest_first(runs) if limit else runs
    if len(changed.places) < changed.found:
        await _tell_many(session, selected, order, changed, args.silent, command.uid)
    else:
        told = changed.places[::-1] if limit else changed.places  # RFC 9738 3.1
        _tell(session, selected, runs, changed._replace(places=told), args.silent)
    if changed.refused:
        failed = changed.refused if command.uid else selected.view.numbers(changed.refused)
        reply = Reply("Some messages were changed meanwhile", f"MODIFIED {format_set(failed)}")
    elif changed.found < len(uids):
        reply = Reply("Some of the messages are gone", "EXPUNGEISSUED", "OK" if changed.found else "NO")
    else:
        reply = Reply("STORE completed")
    return with_limit(session, reply, limit)


def _uids(runs: list[Run]) -> Sequence[int]:
    if len(runs) == 1 and runs[0].uids[-1] - runs[0].uids[0] + 1 == len(runs[0].uids):
        return range(runs[0].uids[0], runs[0].uids[-1] + 1)
    uids = array("I")
    for run in runs:
        uids += run.uids
    return uids


def _tell(session: Session, selected: Selected, runs: list[Run], changed: Changed, silent: bool) -> None:
    """The FETCH responses of a STORE: flags, and when it is silent only new mod-sequences (RFC 7162 3.1.3, 3.2.4)."""
    told = changed.places
    if silent:
        told = [place for place in told if "CONDSTORE" in session.enabled and place.modseq == changed.modseq]
        _tell_modseqs(session, selected.view, told)
        return
    numbers = {uid: number for run in runs for number, uid in enumerate(run.uids, run.number)}
    tell_flags(session, selected, [(numbers[place.uid], place) for place in told])
    selected.view.forget_flags([place.uid for place in told])


async def _tell_many(
    session: Session, selected: Selected, runs: list[Run], changed: Changed, silent: bool, uid: bool
) -> None:
    """The same for so many messages that the store does not say which they are."""
    with_modseq = "CONDSTORE" in session.enabled
    if silent and (not with_modseq or changed.modseq is None):
        return
    attributes = [] if silent else [FLAGS]
    attributes += [MODSEQ] if with_modseq else []
    if (uid or with_modseq) and "UIDONLY" not in session.enabled:
        attributes.insert(0, UID)
    since = changed.modseq - 1 if silent and changed.modseq is not None else None
    await send_items(session, selected, runs, attributes, since)
    if with_modseq:  # what others changed meanwhile may have been shown: it is told as news too
        session.showed_newest()
    if not silent:
        selected.view.forget_flags(chain.from_iterable(run.uids for run in runs))


def _tell_modseqs(session: Session, view: View, places: list[Place]) -> None:
    output = []
    for place in places:
        shown = b"MODSEQ (%d)" % place.modseq
        output.append(fetched(session, view.number(place.uid), place.uid, shown, True))
    session.write(b"".join(output))
