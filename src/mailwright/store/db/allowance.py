"""What the event loop may read and write itself."""

from __future__ import annotations

import time
from typing import Final

_LONG: Final = 0.005  # seconds that something brief may wait: more, and it waits for a disk
_SHARE: Final = 20  # of its time the event loop waits so at most one in so many


class Allowance:
    """Granted as long as nothing waits; after what waited long, threads are at work for a multiple of that time."""

    def __init__(self) -> None:
        self._again_at = 0.0
        self._began = 0.0
        self._worked = 0.0  # seconds that the thread had worked then

    def granted(self) -> bool:
        """Whether something brief may be done here and now; `spent` follows."""
        self._began = time.monotonic()
        self._worked = time.thread_time()
        return self._began >= self._again_at

    def spent(self) -> None:
        """What was granted is done."""
        now = time.monotonic()
        waited = now - self._began
        if waited <= _LONG:  # as nearly always; the thread's own time is dear to ask for
            return
        waited -= time.thread_time() - self._worked
        if waited > _LONG:
            self._again_at = now + waited * _SHARE
