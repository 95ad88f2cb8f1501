"""When a recipient is tried again, when its sender is warned, and when we give up (RFC 5321 4.5.4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MINUTE: Final = 60.0
HOUR: Final = 3600.0
DAY: Final = 86_400.0


@dataclass(frozen=True)
class Schedule:
    """All times in seconds.

    RFC 5321 4.5.4.1 asks for a retry interval of about half an hour, two tries in the first hour, then one
    every two or three hours, and to give up after 4 or 5 days. The first come sooner, for greylisting.
    """

    delays: tuple[float, ...] = (
        5 * MINUTE,
        10 * MINUTE,
        20 * MINUTE,
        30 * MINUTE,
        1 * HOUR,
        2 * HOUR,
        3 * HOUR,
        4 * HOUR,
    )
    jitter: float = 0.2  # of the delay, both ways: what failed together is not tried together
    warn_after: float = 4 * HOUR  # 0: never
    expire_after: float = 5 * DAY

    def delay(self, attempts: int, roll: float) -> float:
        """Seconds to wait after so many failed attempts (1 or more); `roll` is a random number in [0, 1)."""
        step = self.delays[min(max(attempts, 1), len(self.delays)) - 1]
        return step * (1.0 + self.jitter * (2.0 * roll - 1.0))

    def retry_at(self, attempts: int, now: float, expires_at: float, roll: float) -> float | None:
        """The time of the next attempt, or None when the recipient has expired.

        The last attempt comes at the time of expiry itself.
        """
        if now >= expires_at:
            return None
        return min(now + self.delay(attempts, roll), expires_at)

    def expires_at(self, received_at: float) -> float:
        return received_at + self.expire_after

    def warns_at(self, received_at: float) -> float | None:
        """When the sender is told of the delay; None when never, or not before the expiry."""
        if self.warn_after <= 0 or self.warn_after >= self.expire_after:
            return None
        return received_at + self.warn_after

    def deadline(self, received_at: float, expires_at: float, *, warned: bool) -> float:
        """The next time at which something must be said to the sender, whether or not an attempt is due."""
        warns_at = None if warned else self.warns_at(received_at)
        return expires_at if warns_at is None else min(warns_at, expires_at)

    def pause(self, failures: int) -> float:
        """How long a destination rests after so many connections in a row that failed."""
        return min(MINUTE * float(1 << min(max(failures, 1) - 1, 10)), HOUR)
