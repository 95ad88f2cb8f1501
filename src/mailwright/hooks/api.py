"""The events, the answers to them, and `on`, which puts a function in their way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

MAX_VALUE: Final = 900  # octets of a field's value: a line has 998 (RFC 5322 2.1.1)
MAX_FLAG: Final = 100  # characters

_NAME: Final = re.compile(r"[!-9;-~]{1,76}")  # RFC 5322 2.2
_FLAG: Final = re.compile(r"[!#$&'+-\[^-z|}~]+")  # RFC 3501 9: flag-keyword
_SYSTEM: Final = ("\\seen", "\\answered", "\\flagged", "\\deleted", "\\draft")


# Events that may be answered


@dataclass(frozen=True)
class Client:
    """Who speaks. `tls` is version and cipher, '' without; `account` the address of who logged in, '' for nobody."""

    address: str
    hello: str
    role: str  # 'relay', 'submission' or 'lmtp'
    tls: str = ""
    account: str = ""


@dataclass(frozen=True)
class SenderGiven:
    """MAIL FROM passed our own checks. `sender` is '' for the null reverse-path. Answers: Refuse."""

    client: Client
    sender: str


@dataclass(frozen=True)
class RecipientGiven:
    """RCPT TO passed our own checks. Answers: Refuse."""

    client: Client
    sender: str
    recipient: str


@dataclass(frozen=True)
class MessageArrived:
    """A message is here and not accepted yet. Answers: Refuse, Tag, Redirect, or several of them.

    `header` ends with the empty line, if there is one; it is b'' when it is longer than 1 MiB. `read()` gives all in
    pieces; it may block on a file: in an `async def`, wrap it in `asyncio.to_thread`.
    """

    client: Client
    sender: str
    recipients: tuple[str, ...]
    header: bytes
    size: int
    read: Callable[[], Iterable[bytes]]


# Events that are told


@dataclass(frozen=True)
class Delivered:
    """A message is in mailboxes here; `accounts` are the addresses of those that have it."""

    id: str  # as told in the 250
    sender: str
    message_id: str
    accounts: tuple[str, ...]


@dataclass(frozen=True)
class Queued:
    """A message is in the queue, with these queue ids."""

    id: str
    sender: str
    message_id: str
    queue_ids: tuple[int, ...]


@dataclass(frozen=True)
class RecipientResult:
    """`outcome` is 'delivered', 'sent', 'relayed', 'deferred' or 'failed'; after 'failed' the sender gets a report."""

    recipient: str
    outcome: str
    status: str  # RFC 3463
    text: str


@dataclass(frozen=True)
class AttemptFinished:
    """An attempt to send a queued message is over, whatever became of it. `host` is '' when none was reached."""

    queue_id: int
    sender: str
    destination: str
    host: str
    results: tuple[RecipientResult, ...]


# Answers


@dataclass(frozen=True)
class Refuse:
    """Refuse with this text; a `code` of 4yz asks to try again later. The codes are checked to agree."""

    text: str
    code: int = 550
    enhanced: str = ""  # RFC 3463; '' is 5.7.1 or 4.7.1

    def __post_init__(self) -> None:
        if not 400 <= self.code <= 599:
            raise ValueError(f"a refusal has a code of 4yz or 5yz, not {self.code}")
        if self.enhanced and not re.fullmatch(rf"{self.code // 100}\.\d{{1,3}}\.\d{{1,3}}", self.enhanced):
            raise ValueError(f"{self.enhanced!r} does not go with {self.code}")


@dataclass(frozen=True)
class Tag:
    """Put header fields in front, and flags (`\\Flagged`) or keywords (`$Junk`) on it in the mailboxes here."""

    fields: tuple[tuple[str, str], ...] = ()
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, value in self.fields:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a header field")
            if not value.isprintable() or len(value.encode()) > MAX_VALUE:
                raise ValueError(f"the value of {name} is not one line of at most {MAX_VALUE} octets")
        for flag in self.flags:
            if flag.lower() not in _SYSTEM and not (_FLAG.fullmatch(flag) and len(flag) <= MAX_FLAG):
                raise ValueError(f"{flag!r} is neither a flag nor a keyword (RFC 3501 2.3.2)")


@dataclass(frozen=True)
class Redirect:
    """Give it to these addresses, here or elsewhere, instead of to its recipients. None: to nobody."""

    recipients: tuple[str, ...]


Answer = Refuse | Tag | Redirect

_ANSWERS: Final[dict[type, tuple[type, ...]]] = {
    SenderGiven: (Refuse,),
    RecipientGiven: (Refuse,),
    MessageArrived: (Refuse, Tag, Redirect),
    Delivered: (),
    Queued: (),
    AttemptFinished: (),
}


def check_answer(event: object, found: object) -> tuple[Answer, ...]:
    """What a hook returned, as a tuple. Raises TypeError for what this event cannot be answered with."""
    answers = () if found is None else tuple(found) if isinstance(found, (tuple, list)) else (found,)
    for answer in answers:
        if not isinstance(answer, _ANSWERS[type(event)]):
            raise TypeError(f"{type(event).__name__} cannot be answered with {answer!r}")
    return answers


# Registering


@dataclass(frozen=True)
class Subscription:
    """What `on` notes of a function."""

    event: type
    timeout: float
    failure: Literal["pass", "defer"]


def on(event: type, *, timeout: float = 5.0, failure: Literal["pass", "defer"] = "pass") -> Callable[[F], F]:
    """Have a function called with each `event`, in the order of the file.

    A plain function runs in a thread, an `async def` in the event loop, which it must not block. One that takes longer
    than `timeout` seconds or raises has failed: the mail goes on as if it were not there ('pass'), or is put off
    with 451 ('defer').
    """
    if event not in _ANSWERS:
        raise TypeError(f"{event!r} is no event; there are {', '.join(kind.__name__ for kind in _ANSWERS)}")

    def register(function: F) -> F:
        found = getattr(function, "mailwright_hooks", ())
        function.mailwright_hooks = (*found, Subscription(event, timeout, failure))  # type: ignore[attr-defined]
        return function

    return register
