"""Connections that wait for more mail."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from mailwright.queue.hosts import Host
from mailwright.queue.opening import Place
from mailwright.queue.security import Security
from mailwright.queue.wire import Wire

IDLE: Final = 10.0  # seconds
MAX_IDLE: Final = 100


@dataclass
class Target:
    """A connection that is in use."""

    place: Place
    host: Host
    security: Security
    wire: Wire


class Pool:
    """Keeps connections by where they lead, for a while and not too many."""

    def __init__(self) -> None:
        self._idle: dict[Place, list[tuple[Target, asyncio.TimerHandle]]] = {}
        self._count = 0
        self._closing: set[asyncio.Task[None]] = set()

    def take(self, place: Place) -> Target | None:
        """A connection that is open already."""
        waiting = self._idle.get(place)
        while waiting:
            target, timer = waiting.pop()
            timer.cancel()
            self._count -= 1
            if not waiting:
                del self._idle[place]
            if not target.wire.is_lost:
                return target
        return None

    def keep(self, target: Target) -> None:
        """Keep a connection open for a while."""
        wire = target.wire
        most = wire.machine.extensions.limit("MAILMAX") or 1000
        if wire.is_lost or wire.served >= most or self._count >= MAX_IDLE:
            self._close_soon(wire)
            return
        timer = asyncio.get_running_loop().call_later(IDLE, self._expire, target)
        self._idle.setdefault(target.place, []).append((target, timer))
        self._count += 1

    def _expire(self, target: Target) -> None:
        waiting = self._idle.get(target.place, [])
        waiting[:] = [item for item in waiting if item[0] is not target]
        if not waiting:
            self._idle.pop(target.place, None)
        self._count -= 1
        self._close_soon(target.wire)

    def _close_soon(self, wire: Wire) -> None:
        task = asyncio.create_task(wire.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close what is idle."""
        for waiting in list(self._idle.values()):
            for target, timer in waiting:
                timer.cancel()
                self._close_soon(target.wire)
        self._idle.clear()
        self._count = 0
        if self._closing:
            await asyncio.wait(self._closing, timeout=5.0)
