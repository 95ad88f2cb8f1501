"""The values that store operations take and give."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final, NamedTuple

ID_BITS: Final = 36  # a message's id is its account's id, then a number of so many bits
ID_MASK: Final = (1 << ID_BITS) - 1

MAX_NAME: Final = 1000  # octets of a mailbox's whole name
MAX_DEPTH: Final = 32
MAX_MAILBOXES: Final = 10_000  # of one account
MAX_SUBSCRIPTIONS: Final = 20_000  # of one account, with those of mailboxes that others own or that are gone
MAX_KEYWORDS: Final = 100  # on one message
MAX_KEYWORD: Final = 100  # characters


class Flag(IntFlag):
    """System flags of a place (RFC 3501 2.3.2)."""

    SEEN = 1
    ANSWERED = 2
    FLAGGED = 4
    DELETED = 8
    DRAFT = 16


class Kind(IntEnum):
    """What a row of the change log tells."""

    ARRIVED = 1  # places were added
    FLAGS = 2  # flags or keywords of places changed
    EXPUNGED = 3  # places are gone
    MAILBOX = 4  # a mailbox was made, renamed, or its role or subscription changed
    GONE = 5  # a mailbox was deleted
    METADATA = 6  # annotations were set or removed; of mailbox 0: of the server, for one account


PLACES: Final = frozenset({Kind.ARRIVED, Kind.FLAGS, Kind.EXPUNGED})  # kinds whose rows name UIDs


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox and its counts."""

    id: int
    name: str
    role: str | None
    uidvalidity: int
    uidnext: int
    modseq: int
    messages: int
    unseen: int
    deleted: int
    bytes: int


class Place(NamedTuple):
    """A message's stay in a mailbox."""

    uid: int
    message: int
    modseq: int
    flags: int
    keywords: str
    internal_date: int
    saved_at: int


class Change(NamedTuple):
    """One row of the change log; `uids` and `messages` are packed sets, `messages` without the account's bits.

    Of FLAGS there are only `uids`. Of METADATA `uids` are the entries' names, a line each, and `messages` whose they
    are, 0: all readers'.
    """

    modseq: int
    mailbox: int
    kind: int
    uids: str
    messages: str


class Added(NamedTuple):
    """Where a message was put."""

    mailbox: int
    uidvalidity: int
    uid: int
    message: int
    modseq: int


class Copied(NamedTuple):
    """The answer to COPY and MOVE: pairs of source and new UIDs, rising by source."""

    uidvalidity: int
    sources: list[int]
    uids: list[int]
    modseq: int


class Room(NamedTuple):
    """How much more an account may keep; None: no limit."""

    octets: int | None
    messages: int | None

    def takes(self, size: int, messages: int = 1) -> bool:
        """Whether a message, or some, of `size` octets together fits."""
        return (self.octets is None or size <= self.octets) and (
            self.messages is None or messages <= self.messages
        )

    def less(self, size: int) -> Room:
        """What is left behind such a message."""
        return Room(
            None if self.octets is None else self.octets - size,
            None if self.messages is None else self.messages - 1,
        )


def room_of(octets: int | None, messages: int | None) -> Room:
    """What is left of two quotas, which may be less than nothing."""
    return Room(
        None if octets is None else max(0, int(octets)), None if messages is None else max(0, int(messages))
    )
