"""What the queue keeps of a message and its recipients, and what an attempt says of each."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

NOTIFY_SUCCESS: Final = 1
NOTIFY_FAILURE: Final = 2
NOTIFY_DELAY: Final = 4
NOTIFY_NEVER: Final = 8

_NOTIFY_WORDS: Final = (("NEVER", 8), ("SUCCESS", 1), ("FAILURE", 2), ("DELAY", 4))


def parse_notify(words: str) -> int:
    """`SUCCESS,DELAY` of RFC 3461 4.1 as a bit mask; what is unknown counts for nothing."""
    given = {word.strip().upper() for word in words.split(",")}
    return sum(bit for word, bit in _NOTIFY_WORDS if word in given)


def notify_to_text(notify: int) -> str:
    """The words of a mask; '' when nothing was asked for."""
    return ",".join(word for word, bit in _NOTIFY_WORDS if notify & bit)


class NewRecipient(NamedTuple):
    """`orcpt` is as in RFC 3461 4.2 (`rfc822;bob@b.example`, decoded from xtext), `notify` a mask."""

    address: str
    orcpt: str = ""
    notify: int = 0


class NewMessage(NamedTuple):
    """A message to be queued. `blob` is a reference that the queue takes over.

    `account` is 0 for forwards and reports; `expires_at` 0 means as the schedule says.
    """

    blob: int
    size: int
    reverse_path: str
    recipients: tuple[NewRecipient, ...]
    received_at: float
    account: int = 0
    message_id: str = ""
    envid: str = ""
    ret: str = ""
    body: str = "7BIT"
    smtputf8: bool = False
    requiretls: bool = False
    language: str = "en"
    expires_at: float = 0.0
    origin: str = ""  # for the record: who handed it in, and how


class Recipient(NamedTuple):
    """A recipient whose end is open."""

    n: int
    address: str
    orcpt: str
    notify: int
    attempts: int
    warned: bool


class Message(NamedTuple):
    """A message in the queue. `content` is there when it is small."""

    id: int
    account: int
    blob: int
    size: int
    reverse_path: str
    envid: str
    ret: str
    body: str
    smtputf8: bool
    requiretls: bool
    language: str
    received_at: float
    expires_at: float
    content: bytes | None = None

    @property
    def insists_on_tls(self) -> bool:
        """REQUIRETLS binds all mail but reports, which would be lost (RFC 8689 4.2.1, 5)."""
        return self.requiretls and bool(self.reverse_path)


class Outcome(Enum):
    """What became of a recipient."""

    DELIVERED = "delivered"  # into the mailbox: an LMTP server has it
    SENT = "sent"  # a host has it that makes the reports which were asked for
    EXPANDED = "expanded"  # an alias leads to several, who are reported of no more but when it fails
    RELAYED = "relayed"  # a host has it that knows nothing of reports (RFC 3464 2.3.3)
    DEFERRED = "deferred"
    FAILED = "failed"


class Result(NamedTuple):
    """One recipient's result of one attempt.

    `phase` says how far it came: 'route', 'dns', 'connect', 'greeting', 'ehlo', 'tls', 'auth', 'mail', 'rcpt',
    'data' (the command), 'content' (after the final dot), 'limits', 'expired'. `code` is 0 without a reply.
    """

    outcome: Outcome
    phase: str
    status: str  # RFC 3463
    text: str  # the reply or what happened instead, one line
    code: int = 0
    host: str = ""

    @property
    def is_final(self) -> bool:
        return self.outcome is not Outcome.DEFERRED

    @property
    def is_untaken(self) -> bool:
        """Put off, and certainly not delivered: the peer said so, or was not sent all of the message."""
        return self.outcome is Outcome.DEFERRED and (self.code >= 400 or self.phase != "content")
