"""The tasks that serve connections: as many as the planner starts, and those that rest with theirs still open."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from mailwright.queue.carrier import Carrier, Transport
from mailwright.queue.planner import Planner, Start

REST: Final = 2.0  # seconds that a courier keeps its connection to itself when there is nothing to carry
MAX_RESTING: Final = 50
PATIENCE: Final = 10.0  # seconds more for replies that tell whether peers have taken what they were sent

# Serves a connection until the planner has no more for it; whether it could go on.
Serve = Callable[[Carrier, Start], Awaitable[bool]]


class Couriers:
    """`start` whenever the planner may have become ready to start something."""

    def __init__(self, planner: Planner, transport: Transport, serve: Serve) -> None:
        self._planner = planner
        self._transport = transport
        self._serve = serve
        self.tasks: dict[asyncio.Task[None], Carrier] = {}
        self._resting: dict[str, list[asyncio.Future[Start | None]]] = {}  # by destination
        self._resting_count = 0
        self._stopping = False

    @property
    def running(self) -> int:
        """How many have something to carry."""
        return len(self.tasks) - self._resting_count

    def start(self) -> None:
        """All that the planner wants started; who rests at the destination goes first."""
        while not self._stopping and (start := self._planner.next_start()) is not None:
            if self._wake_one(start):
                continue
            carrier = self._transport.carrier(start.destination)
            task = asyncio.create_task(self._carry(carrier, start))
            self.tasks[task] = carrier
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.pop(task, None)
        if not task.cancelled():
            self.start()  # its place may be another's now

    def _wake_one(self, start: Start) -> bool:
        resting = self._resting.get(start.destination)
        while resting:
            if _wake(resting.pop(), start):  # else its rest is over just now
                return True
        return False

    async def stop(self, timeout: float, patience: float = PATIENCE) -> None:
        """Let the messages on their way come to an end for so long, then break off.

        Those that a peer may have taken have `patience` seconds more: they would be sent again.
        """
        self._stopping = True
        for line in self._resting.values():
            for waiter in line:
                _wake(waiter, None)
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=timeout)
        awaited = [task for task, carrier in self.tasks.items() if carrier.is_awaited]
        for task in self.tasks.keys() - awaited:
            task.cancel()
        if awaited:
            await asyncio.wait(awaited, timeout=patience)
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _carry(self, carrier: Carrier, start: Start) -> None:
        """One connection, while there is something for it, and for a while after that."""
        try:
            while await self._serve(carrier, start):
                again = await self._rest(start.destination)
                if again is None:
                    return
                start = again
        finally:
            carrier.close()

    async def _rest(self, destination: str) -> Start | None:
        """Wait for more to carry; None when nothing came, or enough others rest."""
        if self._stopping or self._resting_count >= MAX_RESTING:
            return None
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Start | None] = loop.create_future()
        line = self._resting.setdefault(destination, [])
        line.append(waiter)
        self._resting_count += 1
        timer = loop.call_later(REST, _wake, waiter, None)
        try:
            self.start()  # perhaps it is our turn again, after others
            return await waiter
        finally:
            self._resting_count -= 1
            timer.cancel()
            if waiter in line:
                line.remove(waiter)
            if not line and self._resting.get(destination) is line:
                del self._resting[destination]


def _wake(waiter: asyncio.Future[Start | None], start: Start | None) -> bool:
    if waiter.done():
        return False
    waiter.set_result(start)
    return True
