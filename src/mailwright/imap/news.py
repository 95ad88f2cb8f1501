"""How a session learns of changes to its mailbox, tells its client, and loads the UIDs that it needs."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from mailwright.imap import responses
from mailwright.imap.keywords import COMMON
from mailwright.imap.reply import Bad
from mailwright.imap.selected import (
    News,
    Selected,
    read_news_and_last,
    read_news_and_uids,
)
from mailwright.imap.syntax.flags import ALL_FLAGS, format_flags
from mailwright.imap.syntax.sequence import STAR, Range, SequenceSet, intersect, to_ranges
from mailwright.imap.view import Key, Run
from mailwright.store import changes
from mailwright.store.acl import permitted_flags, read_rights
from mailwright.store.db.api import FEW, Transaction
from mailwright.store.model import Place
from mailwright.store.reading import read_places

if TYPE_CHECKING:
    from mailwright.imap.session import Session


_BY_UID: Final = frozenset({"QRESYNC", "UIDONLY"})  # who enabled one of these is told of UIDs that vanished


async def refresh_rights(session: Session) -> None:
    """Learn what we may still do with a mailbox of another account, when anything changed there (RFC 4314 5.1.1)."""
    selected = session.selected
    if (
        selected is None
        or session.notified <= selected.rights_modseq
        or selected.key[0] == session.account_id
    ):
        return
    modseq, rights = await session.service.store.read(_read_rights, session.account_id, selected.key)
    selected.rights_modseq = modseq
    if rights is None:
        selected.gone = True
    elif rights != selected.rights:
        selected.rights = rights
        if "r" in rights:
            session.write(usable_flags(selected))


def _read_rights(tx: Transaction, account: int, key: Key) -> tuple[int, str | None]:
    """The modseq of a mailbox's owner, and what an account may do with it then; None: it was deleted."""
    there = tx.one("SELECT 1 FROM mailboxes WHERE account = ? AND id = ?", *key)
    return changes.read_modseq(tx, key[0]), read_rights(tx, account, *key) if there is not None else None


def usable_flags(selected: Selected) -> bytes:
    """The FLAGS and PERMANENTFLAGS responses, as far as our rights go."""
    return _usable_flags(selected.keywords, "" if selected.read_only else selected.rights, selected.read_only)


@lru_cache(maxsize=1000)
def _usable_flags(keywords: frozenset[str], rights: str, read_only: bool) -> bytes:
    words = " ".join([COMMON, *sorted(keywords)])
    permanent = "()"
    if not read_only:
        writable = "w" in rights
        permanent = format_flags(permitted_flags(rights), words if writable else "")
        if writable:
            permanent = permanent[:-1] + " \\*)"
    flags = f"* FLAGS {format_flags(ALL_FLAGS, words)}\r\n".encode("ascii")
    return flags + responses.untagged("OK", "Flags that are kept", f"PERMANENTFLAGS {permanent}")


def show_keywords(session: Session, selected: Selected, texts: Collection[str]) -> None:
    """Tell the client of keywords that no FLAGS response has named yet, before it meets them."""
    if not texts:
        return
    keywords = session.service.keywords
    known = keywords.add(selected.key, texts)
    if known != selected.keywords:
        selected.keywords = known
        session.write(usable_flags(selected))


async def tell_news(session: Session, *, expunge: bool, flags: bool = True, read: bool = False) -> None:
    """Send the untagged responses for what happened; EXPUNGE and changes of flags only when they are allowed now.

    `read` asks the store even when no notification came.
    """
    await refresh_rights(session)
    selected = session.selected
    if selected is None or "r" not in selected.rights:
        return
    view = selected.view
    await learn_news(session, selected, read=read)
    if not view.has_news:
        return
    await _load_for_news(session, selected, expunge)
    recent_before = selected.recent_count
    updates = view.take_updates(expunge, flags)
    if updates.expunged and selected.contexts:
        numbers = dict(zip(updates.vanished, reversed(updates.expunged), strict=True))
        for tag, context in selected.contexts.items():
            session.write(context.leave(tag, numbers))
    if session.enabled & _BY_UID:
        output = [responses.vanished(to_ranges(updates.vanished))]
    else:
        output = [responses.expunges(updates.expunged)]
    selected.recent_count -= sum(1 for uid in updates.vanished if view.is_recent(uid))
    if updates.arrived:
        output.append(responses.exists(view.count))
        first = claim_recent(session, selected)
        selected.recent_count += sum(1 for uid in updates.arrived if uid >= first)
    if (updates.arrived or selected.recent_count != recent_before) and not session.rev2:
        output.append(responses.recent(selected.recent_count))
    session.write(b"".join(output))
    if updates.changed:
        await _tell_flags(session, selected, updates.changed)
    if updates.arrived and session.watching is not None:
        others = [uid for uid in updates.arrived if uid not in selected.own_uids]
        selected.own_uids.difference_update(updates.arrived)
        await session.watching.send_new(selected, others)


async def _load_for_news(session: Session, selected: Selected, expunge: bool) -> None:
    """Have the UIDs in the view that the next `take_updates` needs."""
    view, before = selected.view, 0
    while (lowest := view.lowest_news(expunge)) and lowest != before and view.missing(lowest):
        if selected.gone:
            view.load((), 1)  # it had no messages but those that are to be told as expunged
        else:
            await load_from_uid(session, lowest)  # where news may come of messages that lie before it
        before = lowest


async def learn_news(session: Session, selected: Selected, *, read: bool = False) -> None:
    """Note what happened, without telling the client. `read` asks the store even when no notification came."""
    since = selected.view.modseq
    read |= selected.ahead
    if read or session.notified > since:
        heard = 0 if read else session.notified
        news = await session.service.journal.news(selected.key, since, heard, exact=selected.ahead)
        if news is not None:
            _note(selected, news)
        selected.ahead = False


def _note(selected: Selected, news: News) -> None:
    """Bring the view's knowledge of the store up to date, without telling the client."""
    selected.note(news.changes)
    selected.view.modseq = news.modseq
    selected.own.clear()


def claim_recent(session: Session, selected: Selected) -> int:
    r"""From which UID on messages are \Recent here: for the first session that tells its client of them."""
    view = selected.view
    if session.rev2:  # RFC 9051 has no \Recent
        return view.uidnext
    recents = session.service.recents
    # RFC 3501 6.3.2: EXAMINE takes \\Recent from no other session.
    claim = recents.first if selected.read_only else recents.claim
    first = claim(selected.key, view.uidnext)
    if first < view.uidnext:
        view.claim_recent(first, view.uidnext - 1)
    return first


async def _tell_flags(session: Session, selected: Selected, changed: list[tuple[int, int]]) -> None:
    numbers = {uid: number for number, uid in changed}
    service, uids = session.service, list(numbers)
    places = service.journal.places(selected.key, uids, selected.view.modseq)
    if places is None:
        read = service.store.read_briefly if len(uids) <= FEW else service.store.read
        places = await read(read_places, *selected.key, uids)
    # What is newer than the news is told again with its own mod-sequence: a client that drops now must not believe
    # that it knows everything up to that (RFC 7162 3.2.5).
    newest = selected.view.modseq
    places = [place if place.modseq <= newest else place._replace(modseq=newest) for place in places]
    uid = session.watching is not None and session.watching.asked  # RFC 5465 5.1
    tell_flags(session, selected, [(numbers[place.uid], place) for place in places], uid)


def tell_flags(
    session: Session, selected: Selected, places: list[tuple[int, Place]], uid: bool = False
) -> None:
    """FETCH responses with the flags, and what the client asked to have beside them."""
    texts = responses.flag_texts
    show_keywords(session, selected, {place.keywords for _, place in places})
    with_modseq = "CONDSTORE" in session.enabled
    uid |= with_modseq or session.by_uid  # RFC 7162 3.2.4, RFC 3501 6.4.8
    recents = selected.view.recents
    output = []
    for number, place in places:
        recent = bool(recents) and selected.view.is_recent(place.uid)
        key = (place.flags, place.keywords)
        shown = b"FLAGS " + (texts.recent(*key) if recent else texts[key])
        if with_modseq:
            shown += b" MODSEQ (%d)" % place.modseq
        output.append(fetched(session, number, place.uid, shown, uid))
    session.write(b"".join(output))


def fetched(session: Session, number: int, uid: int, items: bytes, with_uid: bool) -> bytes:
    """A FETCH response, or what stands for it when the client wants no sequence numbers (RFC 9586 3)."""
    if "UIDONLY" in session.enabled:
        return b"* %d UIDFETCH (%b)\r\n" % (uid, items)
    return b"* %d FETCH (%b%b)\r\n" % (number, b"UID %d " % uid if with_uid else b"", items)


async def _adopt(session: Session, selected: Selected) -> bool:
    """Have all UIDs in the view if another session has them."""
    view = selected.view
    if not view.adopt():
        return False
    await learn_news(session, selected)
    return True


async def load_from_uid(session: Session, lowest: int) -> None:
    """Have the UIDs from `lowest` on in the view."""
    selected = session.open_mailbox()
    if await _adopt(session, selected):
        return
    account, mailbox = selected.key
    store = session.service.store
    news = await store.read(read_news_and_uids, account, mailbox, selected.view.modseq, lowest)
    _note(selected, news)
    selected.view.load(news.uids, news.lowest)


async def load_from_number(session: Session, lowest: int) -> None:
    """Have the sequence numbers from `lowest` on in the view."""
    selected = session.open_mailbox()
    view = selected.view
    if not view.missing_number(lowest) or await _adopt(session, selected):
        return
    account, mailbox = selected.key
    if lowest * 4 < view.count:
        await load_from_uid(session, 1)
        return
    # What arrived meanwhile stands behind the messages that the client knows.
    wanted = view.count - lowest + 1
    store = session.service.store
    while view.missing_number(lowest):
        news = await store.read(read_news_and_last, account, mailbox, view.modseq, wanted, view.uidnext)
        _note(selected, news)
        view.load(news.uids, news.lowest)
        wanted *= 2


async def find_messages(
    session: Session,
    numbers: SequenceSet,
    uid: bool,
    within: list[Range] | None = None,
    beyond: bool = False,
) -> list[Run]:
    """The messages that a command names, as the client knows them; UIDs it does not know are passed over.

    `within` leaves out all other UIDs. Raises Bad for sequence numbers above the number of messages, unless `beyond`.
    """
    selected = session.open_mailbox()
    view = selected.view
    if numbers.saved:
        uids = to_ranges(selected.saved)
        if within is not None:
            uids = intersect(uids, within)
        if uids and view.missing(uids[0][0]):
            await load_from_uid(session, uids[0][0])
        return view.runs_of_uids(uids)
    if not uid:
        # RFC 3501 9 seq-number: `*` too goes beyond an empty mailbox.
        if (not view.count or numbers.highest() > view.count) and not beyond:
            raise Bad(f"There are {view.count} messages; the message set goes beyond")
        ranges = intersect(numbers.resolve(view.count), [(1, view.count)])
        if ranges:
            await load_from_number(session, ranges[0][0])
        runs = view.runs_of_numbers(ranges)
        if within is None:
            return runs
        return view.runs_of_uids(intersect([(run.uids[0], run.uids[-1]) for run in runs], within))
    if any(STAR in pair for pair in numbers.ranges) and view.count:
        await load_from_number(session, view.count)
    ranges = numbers.resolve(view.last_uid())
    if within is not None:
        ranges = intersect(ranges, within)
    if ranges and view.missing(ranges[0][0]):
        await load_from_uid(session, ranges[0][0])
    return view.runs_of_uids(ranges)
