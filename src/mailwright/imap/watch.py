"""What a client asked to be told of mailboxes that it has not selected, and how much of the selected one (RFC 5465)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Final

from mailwright.imap import responses
from mailwright.imap.commands.fetch import send_items
from mailwright.imap.renamed import tell_names
from mailwright.imap.selected import Selected
from mailwright.imap.syntax.multisearch import Source
from mailwright.imap.syntax.notify import SELECTED, Group
from mailwright.imap.syntax.sequence import to_ranges
from mailwright.imap.view import Key
from mailwright.imap.watched import Happened, Known, Question, Sight, Start, read_happened, read_start
from mailwright.store import acl
from mailwright.store.errors import TemporaryFailure
from mailwright.store.model import Mailbox
from mailwright.store.notify.api import SERVER

if TYPE_CHECKING:
    from mailwright.imap.session import Session

EVERYTHING: Final = "EVERYTHING"  # a source of our own: all that the client sees
MESSAGES: Final = frozenset({"MESSAGENEW", "MESSAGEEXPUNGE", "FLAGCHANGE"})
_METADATA: Final = Group(Source(EVERYTHING), frozenset({"MAILBOXMETADATACHANGE", "SERVERMETADATACHANGE"}))
_SHARED_TOPS: Final = (acl.OTHER_USERS, acl.PUBLIC)


class Watch:
    """The filters of one session, and what it knows of the mailboxes in them.

    Without `asked` it is not NOTIFY's: the client is told at the end of a command, and of its selected mailbox as ever.
    """

    __slots__ = (
        "_filters",
        "_heard",
        "_modseqs",
        "_session",
        "_stale",
        "_unsubscribe",
        "account",
        "asked",
        "groups",
        "known",
        "names",
        "own",
        "own_names",
        "selected",
        "server",
        "shared",
    )

    def __init__(self, session: Session, groups: tuple[Group, ...], *, asked: bool) -> None:
        self._session = session
        self.groups = groups
        self.account = session.account_id
        self.asked = asked
        chosen = [group for group in groups if group.source.kind in SELECTED]
        self.selected = chosen[0] if chosen else None
        others = [group for group in groups if group.source.kind not in SELECTED]
        if "METADATA" in session.enabled:  # RFC 5464 4.4
            others.append(_METADATA)
        self._filters = [_Filter(group) for group in others]
        self.shared = any(one.reaches_shared for one in self._filters)
        self.server: dict[str, bytes] | None = None  # the server's annotations, if they are watched
        self.known: dict[str, Known] = {}
        self.names: dict[Key, str] = {}
        self.own: set[tuple[int, int]] = set()  # changes by this client: their accounts and modseqs
        self.own_names: set[str] = set()  # names that this client changed
        self._modseqs: dict[int, int] = {}  # of the watched accounts, as far as the client was told
        self._heard: dict[int, int] = {}
        self._stale = False
        self._unsubscribe: dict[int, Callable[[], None]] = {}

    # The selected mailbox

    @property
    def immediate(self) -> bool:
        """Whether the client takes EXPUNGE at any time."""
        return self.selected is not None and self.selected.source.kind == "SELECTED"

    @property
    def quiet(self) -> bool:
        """Whether the client wants to hear nothing of its selected mailbox (RFC 5465 3.1)."""
        return self.asked and (self.selected is None or "MESSAGENEW" not in self.selected.events)

    @property
    def tells_flags(self) -> bool:
        return not self.asked or (self.selected is not None and "FLAGCHANGE" in self.selected.events)

    async def send_new(self, selected: Selected, uids: Iterable[int]) -> None:
        """What is to be fetched of messages that were just told (RFC 5465 5.2)."""
        if self.selected is not None and self.selected.items:
            runs = selected.view.runs_of_uids(to_ranges(uids))
            await send_items(self._session, selected, runs, list(self.selected.items))

    # The others

    def events_for(self, known: Known, *, asked: bool = False) -> frozenset[str]:
        """The events that are told of a mailbox: those of all groups that fit (RFC 5465 6); none when one says NONE.

        With `asked` only what NOTIFY asked for.
        """
        events: set[str] = set()
        for one in self._filters:
            if one.fits(known) and not (asked and one.kind == EVERYTHING):
                if not one.events:
                    return frozenset()
                events |= one.events
        return frozenset(events)

    @property
    def tells_server(self) -> bool:
        return any("SERVERMETADATACHANGE" in one.events for one in self._filters)

    @property
    def has_news(self) -> bool:
        return self._stale or any(self._heard[owner] > told for owner, told in self._modseqs.items())

    def question(self, limit: int) -> Question:
        """What the store is asked; what is heard from now on is news again."""
        stale, self._stale = self._stale, False
        own, self.own = self.own, set()
        return Question(self.account, dict(self._modseqs), own, self.shared, stale, self.tells_server, limit)

    def ask_again(self, question: Question) -> None:
        """The store did not answer."""
        self._stale |= question.stale
        self.own |= question.own

    def take(self, found: Happened) -> None:
        """The client is told of this."""
        for owner, modseq in found.modseqs.items():
            if owner in self._modseqs:
                self._modseqs[owner] = modseq
        if found.server is not None:
            self.server = found.server

    def follow(self, sight: Sight) -> None:
        """From now on hear of the mailboxes that there are and are watched."""
        self.known = sight.known
        self.names = {known.key: known.name for known in sight.known.values() if known.key is not None}
        owners = {
            known.key[0]
            for known in sight.known.values()
            if known.key is not None and known.key[0] not in (self.account, SERVER) and self.events_for(known)
        }
        if self._filters:
            owners.add(self.account)
        wanted = owners | ({SERVER} if self.shared or self.tells_server else set())
        for subject in self._unsubscribe.keys() - wanted:
            self._unsubscribe.pop(subject)()
            self._modseqs.pop(subject, None)
            self._heard.pop(subject, None)
        for subject in wanted - self._unsubscribe.keys():
            self._unsubscribe[subject] = self._session.service.store.notify.subscribe(subject, self._hear)
            if subject != SERVER:
                self._modseqs[subject] = self._heard[subject] = sight.modseqs[subject]
            self._stale = True  # something may have happened before we listened

    def _hear(self, subject: int, modseq: int) -> None:
        if subject == SERVER:
            self._stale = True
        else:
            self._heard[subject] = max(self._heard.get(subject, modseq), modseq)
        if self.asked or self._session.idle:
            self._session.stream.wake()

    def close(self) -> None:
        """Hear of nothing more."""
        for unsubscribe in self._unsubscribe.values():
            unsubscribe()
        self._unsubscribe.clear()


class _Filter:
    """A group of events, made quick to look up."""

    __slots__ = ("_names", "events", "kind", "reaches_shared")

    def __init__(self, group: Group) -> None:
        self.kind = group.source.kind
        self._names = frozenset(group.source.names)
        self.events = group.events
        self.reaches_shared = self.kind in ("SUBSCRIBED", EVERYTHING) or any(
            name in _SHARED_TOPS or acl.is_shared(name) for name in self._names
        )

    def fits(self, known: Known) -> bool:
        name = known.name
        if self.kind == "PERSONAL":
            return not acl.is_shared(name)
        if self.kind == "INBOXES":
            return name == "INBOX"
        if self.kind == "SUBSCRIBED":
            return known.subscribed
        if self.kind == "SUBTREE":
            return any(top in self._names for top in _upwards(name))
        return self.kind == EVERYTHING or name in self._names


def _upwards(name: str) -> Iterable[str]:
    while name:
        yield name
        name = name.rpartition("/")[0]


async def begin_watch(
    session: Session, groups: tuple[Group, ...], *, asked: bool = True
) -> tuple[Watch, Start]:
    """From now on tell what these groups say, and nothing else."""
    if session.watching is not None:
        session.watching.close()
    watch = session.watching = Watch(session, groups, asked=asked)
    start = await session.service.store.read(read_start, watch.account, watch.shared)
    watch.follow(start.sight)
    watch.server = start.server if watch.tells_server else None
    return watch, start


async def tell_watched(session: Session) -> None:
    """Tell of what happened outside the selected mailbox."""
    while (watch := session.watching) is not None and watch.has_news:
        question = watch.question(session.service.limits.imap_notifications)
        try:
            found = await session.service.store.read(read_happened, question)
        except TemporaryFailure:
            watch.ask_again(question)
            raise
        if found.overflow:
            await begin_watch(session, ())  # as if it had said NOTIFY NONE
            text = "Too much happened at once; you are told of nothing more until NOTIFY SET"
            session.write(responses.untagged("OK", text, "NOTIFICATIONOVERFLOW"))
            return
        output = _tell(session, watch, found)
        watch.take(found)
        session.write(output)


def _tell(session: Session, watch: Watch, found: Happened) -> bytes:
    output = []
    if found.sight is not None:
        before, asked = watch.known, partial(watch.events_for, asked=True)
        watch.follow(found.sight)
        output.append(tell_names(watch.account, asked, before, watch.known, watch.own_names, session.utf8))
        watch.own_names.clear()
    here = session.selected.key if session.selected is not None else None
    for key, events in found.events.items():
        known, box = watch.known.get(watch.names.get(key, "")), found.boxes.get(key)
        if known is None or box is None or key == here or not known.readable:
            continue
        wanted = watch.events_for(known)
        if wanted & events:
            output.append(status_of(session, box, known.name, wanted))
    for key, entries in found.entries.items():
        output.append(_tell_entries(session, watch, key, entries))
    if found.server is not None and watch.server is not None:
        changed = dict(found.server.items() ^ watch.server.items())
        if changed:
            output.append(responses.metadata_changed("", sorted(changed)))
    return b"".join(output)


def _tell_entries(session: Session, watch: Watch, key: Key, entries: Iterable[str]) -> bytes:
    """METADATA responses without values (RFC 5465 5.6, 5.7)."""
    if key == (watch.account, 0):
        return responses.metadata_changed("", entries) if watch.tells_server else b""
    known = watch.known.get(watch.names.get(key, ""))
    if known is None or not known.readable or "MAILBOXMETADATACHANGE" not in watch.events_for(known):
        return b""
    return responses.metadata_changed(known.name, entries, session.utf8)


def status_of(
    session: Session, box: Mailbox, name: str, events: frozenset[str], *, at_start: bool = False
) -> bytes:
    """The STATUS response that stands for events of messages (RFC 5465 5.1 to 5.3), or NOTIFY's own (3.1)."""
    items: list[tuple[str, int | str]] = [
        ("MESSAGES", box.messages),
        ("UIDNEXT", box.uidnext),
        ("UIDVALIDITY", box.uidvalidity),
    ]
    if "FLAGCHANGE" in events:
        items.append(("UNSEEN", box.unseen))
    if "CONDSTORE" in session.enabled or (at_start and "FLAGCHANGE" in events):
        items.append(("HIGHESTMODSEQ", box.modseq))
    return responses.status(name, items, session.utf8)
