"""When the jobs that wait share a transaction, and when they are answered.

A commit has its price however little it keeps, so what some turns of a busy event loop bring shares one; and where jobs
come in crowds, a transaction begins a millisecond after the last one, since more of them would keep the loop so busy
that all wait longer than that.

While many clients ask at once, those who read go before those who write, whom a disk keeps waiting anyway: jobs are
gathered, and answered one by one, as the reads leave time for it. So the event loop's queue stays short, and most
commands wait for next to nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from mailwright.store.db.jobs import Job

_GATHER: Final = 0.002  # seconds for which a busy event loop may gather what shares a commit
_REST: Final = 0.0001  # seconds; a turn of the event loop that took less had nothing else to do
_IDLE: Final = 0.00004  # seconds; in a turn that took less nobody asked for anything
_PACE: Final = 0.001  # seconds between the beginnings of two transactions, when jobs come in crowds
_CROWD: Final = 2.0  # jobs that usually begin together: more are a crowd
_LATELY: Final = 0.02  # seconds since somebody read: others will
_PATIENCE: Final = 0.25  # seconds for which jobs, and answers, wait for those who read at most
_GROUP: Final = 32  # jobs that begin together while others read
_PRESSED: Final = 8  # jobs that wait while others read


class Gatherer:
    """Hands jobs over at once, and answers them, when the loop has nothing else to do. Only for the event loop.

    However many read, a lone job waits for `_GATHER` at most, and each one more lets them go first for as long again.
    So it is with answers.
    """

    def __init__(
        self, hand_over: Callable[[list[Job]], None], busy: Callable[[], bool], reads: Callable[[], int]
    ) -> None:
        """`busy`: what was handed over is not committed yet. `reads`: how many brief reads there were so far."""
        self._hand_over = hand_over
        self._busy = busy
        self._reads = reads
        self._loop: asyncio.AbstractEventLoop | None = None
        self._jobs: deque[tuple[float, Job]] = deque()  # with the time when each came
        self._done: deque[tuple[float, Job]] = deque()  # with the time until which the answer may wait
        self._seen = 0  # reads
        self._read_at = 0.0
        self._usual = 1.0  # jobs that begin together
        self._due = 0.0  # when the next may
        self._turning = False
        self._turned = 0.0  # when the last turn of the loop began
        self._hurried = False

    @property
    def pressed(self) -> bool:
        """Whether jobs pile up behind those who read."""
        return len(self._jobs) >= _PRESSED and self._others_read(time.monotonic())

    def add(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        """Have this job handed over."""
        self._loop = loop
        self._jobs.append((time.monotonic(), job))
        self._start()

    def answer(self, jobs: list[Job]) -> None:
        """Tell those who wait that their jobs are done."""
        now = time.monotonic()
        due = self._done[-1][0] if self._done else now
        for job in jobs:
            due = min(due + _GATHER, now + _PATIENCE)
            self._done.append((due, job))
        if self._others_read(now):
            self._start()
        else:
            self._answer_all()

    def freed(self) -> None:
        """It is no longer busy."""
        self._start()

    def hurry(self) -> None:
        """Hand over what there is, answer what is done, and gather no more."""
        self._hurried = True
        self._flush(len(self._jobs))
        self._answer_all()

    def _others_read(self, now: float) -> bool:
        return now - self._read_at < _LATELY and not self._hurried

    def _start(self) -> None:
        if not self._turning and (self._done or self._jobs) and self._loop is not None:
            self._turning = True
            self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        assert self._loop is not None
        self._seen = self._reads()
        self._turned = time.monotonic()
        self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        assert self._loop is not None
        now = time.monotonic()
        took, self._turned = now - self._turned, now
        reads = self._reads()
        if reads != self._seen:
            self._seen, self._read_at = reads, now
        others = self._others_read(now)
        self._turning = (
            self._yield_to_readers(now, took < _IDLE) if others else self._gather(now, took < _REST)
        )
        if self._turning:
            self._loop.call_soon(self._turn)

    def _gather(self, now: float, rested: bool) -> bool:
        """Hand over when it is time; whether to look again in the next turn."""
        assert self._loop is not None
        self._answer_all()
        if self._jobs and rested and now < self._due and not self._hurried:
            self._loop.call_later(self._due - now, self._start)
            return False
        if self._jobs and (rested or self._hurried or now - self._jobs[0][0] > _GATHER):
            self._flush(len(self._jobs))
        return bool(self._jobs)

    def _yield_to_readers(self, now: float, idle: bool) -> bool:
        """As `_gather`, while others read."""
        if self._done and (idle or now > self._done[0][0]):
            self._answer()
            idle = False
        if self._jobs and not self._busy():
            waited, patience = now - self._jobs[0][0], min(len(self._jobs) * _GATHER, _PATIENCE)
            if idle or waited > patience:
                self._flush(_GROUP)
        return bool(self._done) or (bool(self._jobs) and not self._busy())

    def _flush(self, count: int) -> None:
        jobs = [self._jobs.popleft()[1] for _ in range(min(count, len(self._jobs)))]
        if jobs:
            self._usual += (len(jobs) - self._usual) / 8
            self._due = time.monotonic() + (_PACE if self._usual > _CROWD else 0.0)
            self._hand_over(jobs)

    def _answer_all(self) -> None:
        while self._done:
            self._answer()

    def _answer(self) -> None:
        _, job = self._done.popleft()
        if not job.future.done():  # else whoever waited has gone; the write stands
            job.fulfil()
