"""What the event loop may read and write itself."""

from __future__ import annotations

import time
from typing import Final

_LONG: Final = 0.02  # seconds; what is brief and takes longer waits for a disk
_SHARE: Final = 20  # of its time the event loop spends so at most one in so many


class Allowance:
    """Granted as long as it is spent briefly; after what took long, threads are at work for a multiple of that time."""

    def __init__(self) -> None:
        self._again_at = 0.0

    def granted(self) -> float:
        """When it was granted, for `spent`; 0: it is not."""
        now = time.monotonic()
        return now if now >= self._again_at else 0.0

    def spent(self, granted: float) -> None:
        """What was granted is done."""
        now = time.monotonic()
        if (taken := now - granted) > _LONG:
            self._again_at = now + taken * _SHARE
