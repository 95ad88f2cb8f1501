"""What a client asked to be told of mailboxes that it has not selected, and how much of the selected one (RFC 5465)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from mailwright.imap import responses
from mailwright.imap.commands.fetch import send_items
from mailwright.imap.selected import Selected
from mailwright.imap.syntax.notify import SELECTED, Group
from mailwright.imap.syntax.sequence import to_ranges
from mailwright.store import changes
from mailwright.store.db.api import Transaction
from mailwright.store.errors import NoSuchMailbox
from mailwright.store.mailboxes import get_mailbox, list_mailboxes
from mailwright.store.model import Kind, Mailbox

if TYPE_CHECKING:
    from mailwright.imap.session import Session

_EVENTS: Final = {
    int(Kind.ARRIVED): "MESSAGENEW",
    int(Kind.EXPUNGED): "MESSAGEEXPUNGE",
    int(Kind.FLAGS): "FLAGCHANGE",
}


class Known(NamedTuple):
    """What the client knows of a mailbox."""

    name: str
    subscribed: bool


class Happened(NamedTuple):
    """Events by mailbox. `boxes` are those mailboxes, and all when (`renamed`) names or subscriptions changed."""

    modseq: int
    overflow: bool
    events: dict[int, set[str]]
    boxes: dict[int, Mailbox]
    renamed: bool


class Watch:
    """The filters of one session. `selected` None: the selected mailbox is told of as ever."""

    __slots__ = ("groups", "heard", "known", "modseq", "selected")

    def __init__(self, groups: tuple[Group, ...], modseq: int, boxes: list[Mailbox]) -> None:
        self.groups = groups
        self.modseq = self.heard = modseq
        self.known = {box.id: _known(box) for box in boxes}
        chosen = [group for group in groups if group.source.kind in SELECTED]
        self.selected = chosen[0] if chosen else None

    @property
    def immediate(self) -> bool:
        """Whether the client takes EXPUNGE at any time."""
        return self.selected is not None and self.selected.source.kind == "SELECTED"

    @property
    def quiet(self) -> bool:
        """Whether the client wants to hear of its selected mailbox only when it asks."""
        return self.selected is not None and "MESSAGENEW" not in self.selected.events

    @property
    def tells_flags(self) -> bool:
        return self.selected is None or "FLAGCHANGE" in self.selected.events

    def events_for(self, known: Known) -> frozenset[str]:
        """The events that are told of a mailbox: those of the first group that it belongs to (RFC 5465 3.1)."""
        for group in self.groups:
            if group.source.kind not in SELECTED and _belongs(group, known):
                return group.events
        return frozenset()

    async def send_new(self, session: Session, selected: Selected, uids: tuple[int, ...]) -> None:
        """What is to be fetched of messages that were just told (RFC 5465 5.2)."""
        if self.selected is not None and self.selected.items:
            runs = selected.view.runs_of_uids(to_ranges(uids))
            await send_items(session, selected, runs, list(self.selected.items))


def _known(box: Mailbox) -> Known:
    return Known(box.name, bool(box.subscribed))


def _belongs(group: Group, known: Known) -> bool:
    kind, names = group.source
    if kind == "PERSONAL":
        return True
    if kind == "INBOXES":
        return known.name == "INBOX"
    if kind == "SUBSCRIBED":
        return known.subscribed
    if kind == "SUBTREE":
        return any(known.name == name or known.name.startswith(name + "/") for name in names)
    return known.name in names


def read_start(tx: Transaction, account: int) -> tuple[int, list[Mailbox]]:
    """The account's modseq and mailboxes."""
    return changes.read_modseq(tx, account), list_mailboxes(tx, account)


def read_happened(tx: Transaction, account: int, since: int, limit: int) -> Happened:
    """What happened in an account; `overflow` when that is more than `limit` changes."""
    modseq = changes.read_modseq(tx, account)
    events: dict[int, set[str]] = {}
    if modseq - since > limit:
        return Happened(modseq, True, events, {}, False)
    renamed = False
    for change in changes.read_changes(tx, account, since):
        event = _EVENTS.get(change.kind)
        if event is None:
            renamed = True
        else:
            events.setdefault(change.mailbox, set()).add(event)
    boxes: dict[int, Mailbox] = {}
    if renamed:
        boxes = {box.id: box for box in list_mailboxes(tx, account)}
    else:
        for mailbox in events:
            try:
                boxes[mailbox] = get_mailbox(tx, account, mailbox)
            except NoSuchMailbox:
                continue
    return Happened(modseq, False, events, boxes, renamed)


async def tell_watched(session: Session) -> None:
    """Tell of what happened outside the selected mailbox."""
    watch = session.watching
    if watch is None or watch.heard <= watch.modseq:
        return
    service = session.service
    limit = service.limits.imap_notifications
    found = await service.store.read(read_happened, session.account_id, watch.modseq, limit)
    watch.modseq = found.modseq
    if found.overflow:
        session.watching = None
        text = "Too much happened at once; you are told of nothing more until NOTIFY SET"
        session.write(responses.untagged("OK", text, "NOTIFICATIONOVERFLOW"))
        return
    output = b""
    if found.renamed:
        output = _tell_names(session, watch, found.boxes)
    here = session.selected.key if session.selected is not None else (0, 0)
    for mailbox, events in found.events.items():
        box = found.boxes.get(mailbox)
        if box is not None and here != (session.account_id, mailbox):
            wanted = watch.events_for(watch.known.get(mailbox) or _known(box))
            if wanted & events:
                output += status_of(session, box, wanted)
    session.write(output)


def _tell_names(session: Session, watch: Watch, boxes: dict[int, Mailbox]) -> bytes:
    """LIST responses for mailboxes that were made, renamed, deleted, subscribed or unsubscribed (RFC 5465 5.4, 5.5)."""
    output = []
    before, watch.known = watch.known, {box.id: _known(box) for box in boxes.values()}
    for mailbox, old in before.items():
        if mailbox not in watch.known and "MAILBOXNAME" in watch.events_for(old):
            output.append(responses.listing(old.name, ["\\NonExistent"], utf8=session.utf8))
    for mailbox, new in watch.known.items():
        old_or_none = before.get(mailbox)
        wanted = watch.events_for(new)
        attributes = ["\\Subscribed"] if new.subscribed else []
        if old_or_none is None:
            if "MAILBOXNAME" in wanted:
                output.append(responses.listing(new.name, attributes, utf8=session.utf8))
        elif old_or_none.name != new.name:
            if "MAILBOXNAME" in wanted | watch.events_for(old_or_none):
                output.append(
                    responses.listing(new.name, attributes, utf8=session.utf8, old_name=old_or_none.name)
                )
        elif old_or_none != new and "SUBSCRIPTIONCHANGE" in wanted | watch.events_for(old_or_none):
            output.append(responses.listing(new.name, attributes, utf8=session.utf8))
    return b"".join(output)


def status_of(session: Session, box: Mailbox, events: frozenset[str]) -> bytes:
    """The STATUS response that stands for events of messages (RFC 5465 5.1 to 5.3)."""
    items: list[tuple[str, int | str]] = [
        ("MESSAGES", box.messages),
        ("UIDNEXT", box.uidnext),
        ("UIDVALIDITY", box.uidvalidity),
    ]
    if "FLAGCHANGE" in events:
        items.append(("UNSEEN", box.unseen))
    if "CONDSTORE" in session.enabled:
        items.append(("HIGHESTMODSEQ", box.modseq))
    return responses.status(box.name, items, session.utf8)
