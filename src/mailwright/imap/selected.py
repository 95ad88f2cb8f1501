"""The mailbox that a session has selected."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from mailwright.imap.view import Key, View
from mailwright.store import changes, reading
from mailwright.store.acl import Access
from mailwright.store.db.api import Transaction
from mailwright.store.model import Change, Kind, Mailbox
from mailwright.store.sets import unpack

if TYPE_CHECKING:
    from mailwright.imap.search.context import Context


class Selected:
    """A mailbox and this session's view of it."""

    __slots__ = (
        "ahead",
        "contexts",
        "gone",
        "keywords",
        "mailbox",
        "own",
        "own_uids",
        "read_only",
        "recent_count",
        "rights",
        "rights_modseq",
        "saved",
        "uidvalidity",
        "view",
    )

    def __init__(self, mailbox: Mailbox, view: View, read_only: bool, rights: str) -> None:
        self.mailbox = mailbox.id
        self.rights = rights  # what we may do with it (RFC 4314)
        self.rights_modseq = view.modseq  # its account's, when we knew them
        self.uidvalidity = mailbox.uidvalidity
        self.view = view
        self.read_only = read_only
        self.recent_count = 0
        self.gone = False  # the mailbox was deleted
        self.ahead = False  # the client was shown more than the view knows
        self.own: set[int] = set()  # modseqs of our own changes, of which not all need to be told
        self.own_uids: set[int] = set()  # of messages that we put here ourselves and have not told yet
        self.saved: array[int] = array("I")  # `$` of RFC 5182
        self.keywords: frozenset[str] = frozenset()  # of the FLAGS response, beside the common ones
        self.contexts: dict[str, Context] = {}  # results that are kept up to date, by tag (RFC 5267)

    @property
    def key(self) -> Key:
        return self.view.key

    def as_known(self, access: Access) -> Access:
        """A mailbox; this one with a HIGHESTMODSEQ below what the client is still to be told of (RFC 7162 3.2)."""
        mailbox, complete = access.mailbox, self.view.complete
        if (access.account, mailbox.id) != self.key or mailbox.modseq <= complete:
            return access
        return access._replace(mailbox=replace(mailbox, modseq=complete))

    def note(self, news: list[Change]) -> None:
        """Hand what happened to the view."""
        for change in news:
            if change.kind == Kind.ARRIVED:
                self.view.note_arrived(unpack(change.uids))
                if change.modseq in self.own:
                    self.own_uids.update(unpack(change.uids))
            elif change.kind == Kind.EXPUNGED:
                self.view.note_expunged(unpack(change.uids), change.modseq)
            elif change.kind == Kind.FLAGS:
                if change.modseq not in self.own:
                    self.view.note_flags(unpack(change.uids))
            elif change.kind == Kind.GONE:
                self.gone = True


class News(NamedTuple):
    """Everything after a modseq: `uids` are all from `lowest` on, when they were asked for."""

    modseq: int
    changes: list[Change]
    uids: Sequence[int]
    lowest: int


def read_news(tx: Transaction, account: int, mailbox: int, since: int) -> News:
    """What happened in a mailbox."""
    modseq = changes.read_modseq(tx, account)
    news = changes.read_changes(tx, account, since, mailbox) if modseq > since else []
    return News(modseq, news, [], 0)


def read_news_and_uids(tx: Transaction, account: int, mailbox: int, since: int, lowest: int) -> News:
    """What happened, and the UIDs from `lowest` on after it."""
    news = read_news(tx, account, mailbox, since)
    return news._replace(uids=reading.read_uids(tx, account, mailbox, lowest), lowest=lowest)


def read_news_and_last(
    tx: Transaction, account: int, mailbox: int, since: int, count: int, uidnext: int
) -> News:
    """What happened, and at least the last `count` UIDs after it (more, where that is no dearer)."""
    news = read_news(tx, account, mailbox, since)
    width = 2 * count + 50
    lowest = max(1, uidnext - width)
    uids = reading.read_uids(tx, account, mailbox, lowest)
    while len(uids) < count and lowest > 1:
        width *= 8
        lowest = max(1, uidnext - width)
        uids = reading.read_uids(tx, account, mailbox, lowest)
    return news._replace(uids=uids, lowest=lowest)
