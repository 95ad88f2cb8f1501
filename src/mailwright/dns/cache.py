"""Answers kept for as long as they may be, within a bound."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

from mailwright.base.clock import Clock
from mailwright.dns.api import Answer, DNSTemporary, Record

Key = tuple[str, str]  # name in lower case without final dot, type
MAX_TTL = 86_400  # seconds
MAX_NEGATIVE_TTL = 3600  # RFC 2308 5 advises one to three hours
FAILURE_TTL = 5.0  # RFC 9520 3.2: at least one second


@dataclass(frozen=True)
class _Entry:
    outcome: Answer[Record] | str  # a str is the text of a failure
    expires: float
    size: int


class Cache:
    """At most `entries` answers and `octets` octets of replies; the least recently used go first."""

    def __init__(self, clock: Clock, entries: int = 10_000, octets: int = 16 * 1024 * 1024) -> None:
        self._clock = clock
        self._max_entries = entries
        self._max_octets = octets
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._octets = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Answer[Record] | None:
        """A live answer with the time it has left. Raises DNSTemporary when a failure is remembered."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        left = entry.expires - self._clock.monotonic()
        if left <= 0:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        if isinstance(entry.outcome, str):
            raise DNSTemporary(entry.outcome)
        return replace(entry.outcome, ttl=int(left))

    def put(self, key: Key, answer: Answer[Record], size: int) -> None:
        """Keep an answer for its TTL."""
        limit = MAX_TTL if answer.records else MAX_NEGATIVE_TTL
        self._insert(key, answer, min(answer.ttl, limit), size)

    def put_failure(self, key: Key, text: str) -> None:
        """Remember for a moment that there was no answer, so that a burst of mail asks once."""
        self._insert(key, text, FAILURE_TTL, len(text))

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._octets = 0

    def _insert(self, key: Key, outcome: Answer[Record] | str, ttl: float, size: int) -> None:
        self._drop(key)
        if ttl <= 0 or size > self._max_octets // 16:
            return
        self._entries[key] = _Entry(outcome, self._clock.monotonic() + ttl, size)
        self._octets += size
        while len(self._entries) > self._max_entries or self._octets > self._max_octets:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._octets -= entry.size
