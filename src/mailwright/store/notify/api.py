"""The contract of a notifier.

What can be subscribed to is named by a number: an account's id for its change log, `logins_of` it for its passwords,
SERVER for what belongs to all, and QUEUE for mail that is to be sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

Subscriber = Callable[[int, int], None]  # subject, modseq

SERVER: Final = 0  # the server's annotations, and who may use whose mailboxes; its modseq means nothing


QUEUE: Final = -(1 << 62)  # a command made mail due; its modseq means nothing


def logins_of(account: int) -> int:
    """The subject under which it is told that an account's logins may hold no longer; its modseq means nothing."""
    return -account


def account_of(subject: int) -> int:
    """The inverse of `logins_of`."""
    return -subject


class Notifier(Protocol):
    """Who wants to know when an account changes. All calls are made in the event loop."""

    def subscribe(self, account: int, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber(account, modseq)` after each change of `account`; the result ends that."""
        ...

    def publish(self, account: int, modseq: int) -> None:
        """Tell all subscribers of `account`."""
        ...

    async def close(self) -> None:
        """Finish what waits, then close."""
        ...
