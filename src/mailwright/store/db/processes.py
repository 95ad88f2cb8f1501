"""Processes that read for the event loop: what keeps the interpreter busy for long, which all threads share.

They are started when they are wanted, and end after a while without work. Whoever asks does it himself while one is on
its way, and when one fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import mmap
import os
import pickle
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from mailwright.store.blobs.api import BlobStore
from mailwright.store.db.api import Operation, P, T
from mailwright.store.db.child import LENGTH, PLACES, ROOM

log = logging.getLogger(__name__)

_MOST: Final = 4  # processes
_IDLE: Final = 60.0  # seconds without work, after which one is ended
_RETRY: Final = 60.0  # seconds after which another one is started when one could not be
_LATE: Final = 0.02  # seconds; what has been asked for so long ago takes long
_PATIENCE: Final = 10.0  # seconds for an answer: one that is silent for longer hangs, or was stopped
# Results are large, and come and go: else their memory would be given back to the system each time.
_MALLOC: Final = {
    "MALLOC_TRIM_THRESHOLD_": str(16 * 1024 * 1024),
    "MALLOC_MMAP_THRESHOLD_": str(4 * 1024 * 1024),
}
_COMMAND: Final = (sys.executable, "-P", "-m", "mailwright.store.db.child")


class _NotDone(Exception):
    """The process could not do it."""


class Processes:
    """Those that read the SQLite file at `path`. All methods are called in the event loop."""

    def __init__(self, path: str, blobs: BlobStore, read_here: Callable[..., Awaitable[Any]]) -> None:
        """As many as there are processors; none where there is one. `read_here` is what else there is."""
        self._opening = (path, blobs)
        self._read_here = read_here
        self._asked = 0  # for how many reads somebody waits
        # Other systems have no memory that is shared so.
        processors = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
        self._count = min(processors, _MOST) if processors > 1 else 0
        self._children: list[_Child] = []
        self._starts: set[asyncio.Task[None]] = set()
        self._again_at = 0.0
        self._sweep: asyncio.TimerHandle | None = None

    async def read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a store operation that only reads returns."""
        result: T
        self._asked += 1
        try:
            child = self._find()
            if child is not None:
                with contextlib.suppress(_NotDone):
                    result = await _ask(child, (operation, args, kwargs))
                    return result
            result = await self._read_here(operation, *args, **kwargs)
            return result
        finally:
            self._asked -= 1

    async def wait_for_one(self) -> None:
        """Have one started unless there is one, or there can be none."""
        self._let_go()
        if self._count and not self._children:
            if not self._starts:
                self._start_another()
            await asyncio.gather(*self._starts, return_exceptions=True)

    async def close(self) -> None:
        """End them all; what they are asked for is not done."""
        self._count = 0
        if self._sweep is not None:
            self._sweep.cancel()
        for start in self._starts:
            start.cancel()
        await asyncio.gather(*self._starts, return_exceptions=True)
        await asyncio.gather(*[child.end() for child in self._children])

    def _find(self) -> _Child | None:
        """Who has least to do; None: there is none, or another one is on its way."""
        self._let_go()
        child = min(self._children, key=lambda one: (one.late, len(one.waiting), one.used_at), default=None)
        if child is not None and not child.waiting:
            return child
        if len(self._children) + len(self._starts) < min(self._asked, self._count):
            self._start_another()
        return None if self._starts else child

    def _let_go(self) -> None:
        """Forget those that have ended by themselves."""
        living = [child for child in self._children if child.ready]
        if len(living) < len(self._children):
            self._children = living
            self._again_at = asyncio.get_running_loop().time() + _RETRY
            log.warning(
                "a process that read has ended by itself, or did not answer: threads read instead for a while;"
                " see whether the system is short of memory"
            )

    def _start_another(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() >= self._again_at:
            task = loop.create_task(self._start())
            self._starts.add(task)
            task.add_done_callback(self._starts.discard)

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            child = await _start(self._opening)
        except (OSError, _NotDone) as error:  # no memory, too many processes
            self._again_at = loop.time() + _RETRY
            log.warning("a process to read with could not be started, threads read instead: %r", error)
            return
        self._children.append(child)
        if self._sweep is None:
            self._sweep = loop.call_later(_IDLE, self._end_idle)

    def _end_idle(self) -> None:
        loop = asyncio.get_running_loop()
        idle = [
            child for child in self._children if not child.waiting and loop.time() - child.used_at >= _IDLE
        ]
        for child in idle:
            child.kill()
        self._children = [child for child in self._children if child not in idle]
        self._sweep = loop.call_later(_IDLE, self._end_idle) if self._children else None


async def _start(opening: object) -> _Child:
    """A process that has opened the file. Raises OSError, _NotDone."""
    ours, its = socket.socketpair()
    memory = os.memfd_create("results")
    try:
        os.truncate(memory, PLACES * ROOM)
        ours.setblocking(False)
        process = await asyncio.create_subprocess_exec(
            *_COMMAND,
            str(memory),
            stdin=its.fileno(),
            stdout=DEVNULL,
            pass_fds=[memory],
            env=os.environ | _MALLOC | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        child = _Child(process, mmap.mmap(memory, PLACES * ROOM))
    except BaseException:
        ours.close()
        raise
    finally:
        its.close()
        os.close(memory)
    try:
        await asyncio.get_running_loop().create_unix_connection(lambda: child, sock=ours)
        await _ask(child, opening)
    except BaseException:
        child.kill()
        raise
    child.ready = True
    return child


async def _ask(child: _Child, call: object) -> Any:
    """What the process answers. Raises _NotDone; when it does not answer, it is ended."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return await child.ask(call)
    except TimeoutError:
        child.kill()
        raise _NotDone from None


class _Child(asyncio.BufferedProtocol):
    """One process. Its answers come in the order of what it was asked."""

    def __init__(self, process: Process, memory: mmap.mmap) -> None:
        """`memory` is shared with it."""
        self.ready = False
        self.waiting: deque[tuple[asyncio.Future[Any], int]] = deque()  # and the places for their results
        self.used_at = 0.0
        self._process = process
        self._memory = memoryview(memory)
        self._places = list(range(PLACES))  # that are free
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray(LENGTH)
        self._filled = 0
        self._result_comes = False  # its length is known, and the buffer is for it

    def ask(self, call: object) -> asyncio.Future[Any]:
        """The result, once it is here; _NotDone when there is none."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if self._transport is None:
            future.set_exception(_NotDone())
            return future
        data = pickle.dumps(call, pickle.HIGHEST_PROTOCOL)
        place = self._places.pop() if self._places else PLACES
        self.waiting.append((future, place))
        self.used_at = loop.time()
        self._transport.write(b"%c%b%b" % (place, len(data).to_bytes(LENGTH, "big"), data))
        return future

    @property
    def late(self) -> bool:
        """Whether it has been silent for long, though it was asked."""
        return bool(self.waiting) and asyncio.get_running_loop().time() - self.used_at > _LATE

    def kill(self) -> None:
        """End it, whatever it does: it changes nothing, and may have been stopped."""
        self.ready = False
        if self._transport is not None:
            self._transport.abort()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> None:
        """End it, and wait until it has."""
        self.kill()
        await self._process.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        self.ready, self._transport = False, None
        while self.waiting:
            self._answer(b"")

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        if self._filled < len(self._buffer):
            return
        came, self._filled = self._buffer, 0
        if self._result_comes:
            self._result_comes, self._buffer = False, bytearray(LENGTH)
            self._answer(came)
            return
        length, (_, place) = int.from_bytes(came, "big"), self.waiting[0]
        if length and (place == PLACES or length > ROOM):
            self._result_comes, self._buffer = True, bytearray(length)
        else:
            self._answer(self._memory[place * ROOM :][:length])

    def _answer(self, result: bytes | bytearray | memoryview) -> None:
        future, place = self.waiting.popleft()
        self.used_at = asyncio.get_running_loop().time()
        if not future.done():  # else whoever waited has gone
            if result:
                future.set_result(pickle.loads(result))  # noqa: S301 - our own child's
            else:
                future.set_exception(_NotDone())
        if place < PLACES:
            self._places.append(place)
