"""The contract between the queue's runner and what carries messages to other hosts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

from mailwright.queue.model import Claimed
from mailwright.queue.values import Result


class Attempt(NamedTuple):
    """What one attempt of one message gave: a result for each recipient, in their order.

    `reached`: a host of the destination took part in a dialog. `again`: the connection may carry more.
    """

    results: tuple[Result, ...]
    reached: bool = True
    again: bool = True
    event: Mapping[str, object] = MappingProxyType({})


class Carrier(Protocol):
    """A connection's worth of deliveries to one destination."""

    async def deliver(self, claimed: Claimed, ahead: Claimed | None = None) -> Attempt:
        """Try once. Every failure is a result; nothing is raised but CancelledError, and not when it `is_awaited`.

        `ahead` is what comes next, if that is known and its lease does not end: its delivery may begin.
        """
        ...

    @property
    def is_awaited(self) -> bool:
        """A message was sent to its end, and the peer's reply tells whether it has taken it."""
        ...

    def close(self) -> None:
        """No more for now. The connection may be kept for a while, for the next carrier."""
        ...


class Transport(Protocol):
    """Makes carriers."""

    def carrier(self, destination: str) -> Carrier: ...

    async def close(self) -> None: ...
