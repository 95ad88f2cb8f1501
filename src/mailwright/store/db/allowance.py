"""What the event loop may read and write itself."""

from __future__ import annotations

import resource
import time
from typing import Final

_LONG: Final = 0.005  # seconds that something brief may take while it waits: more, and it waits for a disk
_SHARE: Final = 20  # of its time the event loop waits so at most one in so many
_WHO: Final[int] = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)  # the former is Linux's


class Allowance:
    """Granted as long as nothing waits; after what waited long, threads are at work for a multiple of that time.

    On a busy machine a thread is often kept from a processor, and has waited for nothing then.
    """

    def __init__(self) -> None:
        self._again_at = 0.0
        self._began = 0.0
        self._waits = 0  # of the thread, by then

    def granted(self) -> bool:
        """Whether something brief may be done here and now; `spent` follows."""
        self._waits = _waits()
        self._began = time.monotonic()
        return self._began >= self._again_at

    def spent(self) -> None:
        """What was granted is done."""
        now = time.monotonic()
        took = now - self._began
        if took > _LONG and _waits() != self._waits:
            self._again_at = now + took * _SHARE


def _waits() -> int:
    """How many times this thread has given up its processor, to wait for something."""
    return resource.getrusage(_WHO).ru_nvcsw
