"""Notification within one process."""

from __future__ import annotations

import logging
from collections.abc import Callable

from mailwright.store.notify.api import Subscriber

log = logging.getLogger(__name__)


class LocalNotifier:
    """Subscribers by account."""

    def __init__(self) -> None:
        self._subscribers: dict[int, list[Subscriber]] = {}

    def subscribe(self, account: int, subscriber: Subscriber) -> Callable[[], None]:
        self._subscribers.setdefault(account, []).append(subscriber)

        def unsubscribe() -> None:
            waiting = self._subscribers.get(account, [])
            if subscriber in waiting:
                waiting.remove(subscriber)
            if not waiting:
                self._subscribers.pop(account, None)

        return unsubscribe

    def has_subscribers(self, account: int) -> bool:
        """Whether anybody would be told."""
        return account in self._subscribers

    def subjects(self) -> list[int]:
        """All that somebody has subscribed to."""
        return list(self._subscribers)

    def publish(self, account: int, modseq: int) -> None:
        for subscriber in tuple(self._subscribers.get(account, ())):
            try:
                subscriber(account, modseq)
            except Exception:
                log.exception("a subscriber of account %d failed", account)

    async def close(self) -> None:
        """Nothing waits."""
