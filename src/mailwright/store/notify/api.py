"""The contract of a notifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Subscriber = Callable[[int, int], None]  # account, modseq


class Notifier(Protocol):
    """Who wants to know when an account changes. All calls are made in the event loop."""

    def subscribe(self, account: int, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber(account, modseq)` after each change of `account`; the result ends that."""
        ...

    def publish(self, account: int, modseq: int) -> None:
        """Tell all subscribers of `account`."""
        ...
