"""Octets that were read lately, as they are when they are unpacked: what one client asks for, others will soon."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Final, Generic, TypeVar

K = TypeVar("K", int, bytes)

_LARGEST: Final = 8 * 1024  # octets of one entry: few headers are longer
_OVERHEAD: Final = 200  # octets that an entry costs beside these; with its key, unless that is long


class Lately(Generic[K]):
    """By a key that never comes to stand for other octets, so what is here stays true; threads may share it."""

    def __init__(self, most: int) -> None:
        """It holds `most` octets, long keys aside; what was used longest ago goes first."""
        self._most = most
        self._held: dict[K, bytes] = {}  # the one used longest ago comes first
        self._octets = 0
        self._lock = threading.Lock()

    def find_all(self, keys: Iterable[K]) -> list[bytes | None]:
        """What is here of these; else None."""
        held = self._held
        found: list[bytes | None] = []
        with self._lock:
            for key in keys:
                octets = held.pop(key, None)
                if octets is not None:
                    held[key] = octets
                found.append(octets)
        return found

    def add_all(self, read: Iterable[tuple[K, bytes]]) -> None:
        """Keep these, as far as they are not too long."""
        held = self._held
        with self._lock:
            for key, octets in read:
                if len(octets) <= _LARGEST:
                    self._octets += len(octets) + _OVERHEAD - self._remove(key)
                    held[key] = octets
            while self._octets > self._most:
                self._octets -= self._remove(next(iter(held)))

    def _remove(self, key: K) -> int:
        octets = self._held.pop(key, None)
        return 0 if octets is None else len(octets) + _OVERHEAD
