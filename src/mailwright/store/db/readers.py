"""Threads that read for the event loop.

The thread that worked last gets the next call, since its caches are warm, and results that are ready together wake the
event loop once: an executor of the standard library costs several times as much for a small read.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from mailwright.store.errors import StoreFailed

T = TypeVar("T")


class _Call(NamedTuple):
    function: Callable[[], Any]
    future: asyncio.Future[Any]


class _Thread:
    """A reader that waits: releasing `wake` lets it run `call`; None ends it."""

    __slots__ = ("call", "wake")

    def __init__(self) -> None:
        self.call: _Call | None = None
        self.wake = threading.Lock()
        self.wake.acquire()


class Readers:
    """`count` threads. All methods but the threads' own are called in the event loop."""

    def __init__(self, count: int) -> None:
        self._mutex = threading.Lock()  # over the three below
        self._idle: list[_Thread] = []
        self._waiting: deque[_Call] = deque()
        self._closing = False
        self._done: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._announced = False  # the event loop knows that something is done
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads = [
            threading.Thread(target=self._work, name=f"store-reader_{n}", daemon=True) for n in range(count)
        ]

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    def run(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Call `function` in a thread. Raises StoreFailed after `stop`."""
        if self._loop is None or self._closing:
            raise StoreFailed("the store is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        call = _Call(function, future)
        with self._mutex:
            if not self._idle:
                self._waiting.append(call)
                return future
            thread = self._idle.pop()
        thread.call = call
        thread.wake.release()
        return future

    def stop(self) -> None:
        """Let the threads finish what waits and end; it blocks until they have."""
        with self._mutex:
            self._closing = True
            idle, self._idle = self._idle, []
        for thread in idle:
            thread.wake.release()
        if self._loop is not None:
            for one in self._threads:
                one.join()

    def _work(self) -> None:
        me = _Thread()
        while (call := self._next(me)) is not None:
            if call.future.cancelled():
                continue
            result, error = None, None
            try:
                result = call.function()
            except BaseException as raised:  # the thread must outlive whatever an operation does
                error = raised
            self._done.append((call.future, result, error))
            del call, result, error  # a thread that waits keeps nothing alive
            if not self._announced:
                self._announced = True
                self._announce()

    def _next(self, me: _Thread) -> _Call | None:
        with self._mutex:
            if self._waiting:
                return self._waiting.popleft()
            if self._closing:
                return None
            self._idle.append(me)
        me.wake.acquire()
        call, me.call = me.call, None
        return call

    def _announce(self) -> None:
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._announced = False  # before looking: what is done from now on is announced anew
        while self._done:
            future, result, error = self._done.popleft()
            if future.done():  # whoever waited has gone
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
