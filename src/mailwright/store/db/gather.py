"""Gathers what one turn of the event loop, or some turns of a busy one, hand on together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

_GATHER: Final = 0.002  # seconds for which a busy event loop may gather what shares a commit
_REST: Final = 0.0001  # seconds; a turn of the event loop that took less had nothing else to do


class Gatherer(Generic[Item]):
    """Hands over at once when the loop has nothing else to do; while it works, nobody is kept waiting by it.

    A commit has its price however little it keeps, so what some turns of a busy loop bring shares one.
    """

    def __init__(self, hand_over: Callable[[list[Item]], None]) -> None:
        self._hand_over = hand_over
        self._items: list[Item] = []
        self._since = 0.0
        self._turned = 0.0  # when the last turn of the loop began
        self._hurried = False

    def add(self, item: Item, loop: asyncio.AbstractEventLoop) -> None:
        """Only from the event loop."""
        if not self._items:
            loop.call_soon(self._begin, loop)
        self._items.append(item)

    def hurry(self) -> None:
        """Hand over what there is, and gather no more."""
        self._hurried = True
        self._flush()

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._since = self._turned = time.monotonic()
        loop.call_soon(self._turn, loop)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        if self._hurried or now - self._turned < _REST or now - self._since > _GATHER:
            self._flush()
        else:
            self._turned = now
            loop.call_soon(self._turn, loop)

    def _flush(self) -> None:
        if self._items:
            items, self._items = self._items, []
            self._hand_over(items)
