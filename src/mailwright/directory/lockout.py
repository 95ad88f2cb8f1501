"""Failed logins slow a peer down, then lock it out: per address, and per account.

An address from which the account logged in before is not locked out by the failures of others, so that nobody can
lock an owner out by guessing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from mailwright.base.clock import Clock

_REMEMBERED = 50_000  # addresses and accounts
_MAX_DELAY = 8.0  # seconds


@dataclass(slots=True)
class _Failures:
    count: int
    last: float


class Lockout:
    """Counts failures in memory. `exempt(address)` says which peers are never slowed."""

    def __init__(self, clock: Clock, failures: int, duration: float, exempt: Callable[[str], bool]) -> None:
        self._clock = clock
        self._failures = failures
        self._duration = duration
        self._exempt = exempt
        self._counts: OrderedDict[tuple[str, str], _Failures] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def locked_for(self, account: str, address: str) -> float:
        """Seconds until this peer may try this account again; 0 when it may now."""
        if self._exempt(address):
            return 0.0
        remaining = self._remaining(("address", address))
        if (account, address) not in self._known:
            remaining = max(remaining, self._remaining(("account", account)))
        return remaining

    def failed(self, account: str, address: str) -> float:
        """Count a failure; seconds to wait before it is told."""
        if self._exempt(address):
            return 0.0
        now = self._clock.monotonic()
        worst = 0
        for key in (("address", address), ("account", account)):
            entry = self._counts.pop(key, None)
            if entry is None or now - entry.last > self._duration:
                entry = _Failures(0, now)
            entry.count += 1
            entry.last = now
            self._counts[key] = entry
            worst = max(worst, entry.count)
        while len(self._counts) > _REMEMBERED:
            self._counts.popitem(last=False)
        return min(_MAX_DELAY, 0.25 * 2.0 ** min(worst, 10))

    def succeeded(self, account: str, address: str) -> None:
        """Forget the failures of this peer; remember that the account uses this address."""
        self._counts.pop(("address", address), None)
        self._known[(account, address)] = None
        self._known.move_to_end((account, address))
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def _remaining(self, key: tuple[str, str]) -> float:
        entry = self._counts.get(key)
        if entry is None or entry.count < self._failures:
            return 0.0
        return max(0.0, entry.last + self._duration - self._clock.monotonic())
