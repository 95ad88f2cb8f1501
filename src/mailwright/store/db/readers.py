"""Threads that read for the event loop.

A change of threads costs as much as a small read, for all share one interpreter lock. So one thread takes all calls as
long as it gets through them, and the event loop is woken once for results that are ready together. While a call takes
long, one thread more is at work: others wait for it no longer than `_PATIENCE`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

from mailwright.store.errors import StoreFailed

T = TypeVar("T")

_PATIENCE: Final = 0.005  # seconds; above what a thread may have to wait for the interpreter
_TOGETHER: Final = 16  # results that wake the event loop even if more calls wait


class _Call(NamedTuple):
    function: Callable[[], Any]
    future: asyncio.Future[Any]


class Readers:
    """`count` threads. All methods but the threads' own are called in the event loop."""

    def __init__(self, count: int) -> None:
        self._mutex = threading.Lock()  # over the six below
        self._count = count
        self._wanted = 1  # threads that are to be at work
        self._idle: list[threading.Lock] = []  # of each thread that waits the lock whose release wakes it
        self._waiting: deque[_Call] = deque()
        self._taken = 0  # how many calls were begun
        self._closing = False
        self._done: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._announced = False  # the event loop knows that something is done
        self._loop: asyncio.AbstractEventLoop | None = None
        self._relief: asyncio.TimerHandle | None = None
        self._threads = [
            threading.Thread(target=self._work, name=f"store-reader_{n}", daemon=True) for n in range(count)
        ]

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    def run(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Call `function` in a thread. Raises StoreFailed after `stop`."""
        loop = self._loop
        if loop is None or self._closing:
            raise StoreFailed("the store is closed")
        future: asyncio.Future[T] = loop.create_future()
        with self._mutex:
            self._waiting.append(_Call(function, future))
            if self._idle and self._working < self._wanted:
                self._idle.pop().release()
            elif self._relief is None:
                self._relief = loop.call_later(_PATIENCE, self._relieve, self._taken)
        return future

    @property
    def _working(self) -> int:
        return self._count - len(self._idle)

    def _relieve(self, taken: int) -> None:
        """Deliver what is done, and have one thread more if no call was begun since `taken` of them were."""
        assert self._loop is not None
        self._relief = None
        self._deliver()
        with self._mutex:
            if self._waiting and not self._closing:
                if self._taken == taken and self._idle:
                    self._wanted = self._working + 1
                    self._idle.pop().release()
                self._relief = self._loop.call_later(_PATIENCE, self._relieve, self._taken)

    def stop(self) -> None:
        """Let the threads finish what waits and end; it blocks until they have."""
        with self._mutex:
            self._closing = True
            idle, self._idle = self._idle, []
        for wake in idle:
            wake.release()
        if self._loop is not None:
            for one in self._threads:
                one.join()

    def _work(self) -> None:
        wake = threading.Lock()
        wake.acquire()
        late = False
        while (call := self._next(wake, late)) is not None:
            result, error, began = None, None, time.monotonic()
            late = False
            if call.future.cancelled():
                continue
            try:
                result = call.function()
            except BaseException as raised:  # the thread must outlive whatever an operation does
                error = raised
            late = time.monotonic() - began > _PATIENCE
            self._done.append((call.future, result, error))
            del call, result, error  # a thread that waits keeps nothing alive
            if not self._announced and (not self._waiting or len(self._done) >= _TOGETHER):
                self._announced = True
                self._announce()

    def _next(self, wake: threading.Lock, late: bool) -> _Call | None:
        """The next call for a thread, whose last one was `late`; None: it shall end."""
        while True:
            with self._mutex:
                if late and self._wanted > 1:
                    self._wanted -= 1
                late = False
                if self._waiting and (self._closing or self._working <= self._wanted):
                    self._taken += 1
                    return self._waiting.popleft()
                if self._closing:
                    return None
                self._idle.append(wake)
            wake.acquire()

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
