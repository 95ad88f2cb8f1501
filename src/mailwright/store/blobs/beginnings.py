"""The first octets of content that was read lately: the headers that one client asks for, others will ask for soon."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Final

MOST: Final = 4 * 1024 * 1024  # octets in all
_LARGEST: Final = 8 * 1024  # octets of one content: few headers are longer
_OVERHEAD: Final = 200  # octets that an entry costs beside its content


class Beginnings:
    """By the id of a blob. No id is given to two blobs, so what stands here stays true; threads may share it."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._held: dict[int, bytes] = {}  # the one used longest ago comes first
        self._octets = 0
        self._lock = threading.Lock()

    def find_all(self, wanted: Iterable[tuple[int, int]]) -> list[bytes | None]:
        """For each blob and number of octets at least so many of its first ones, or None."""
        held = self._held
        found: list[bytes | None] = []
        with self._lock:
            for blob_id, octets in wanted:
                beginning = held.pop(blob_id, None)
                if beginning is not None:
                    held[blob_id] = beginning
                found.append(beginning if beginning is not None and len(beginning) >= octets else None)
        return found

    def add_all(self, read: Iterable[tuple[int, bytes]]) -> None:
        """Keep these, as far as they are not too long, and forget what was used longest ago."""
        held = self._held
        with self._lock:
            for blob_id, octets in read:
                if len(octets) <= _LARGEST:
                    self._octets += len(octets) + _OVERHEAD - self._remove(blob_id)
                    held[blob_id] = octets
            while self._octets > self._most:
                self._octets -= self._remove(next(iter(held)))

    def _remove(self, blob_id: int) -> int:
        octets = self._held.pop(blob_id, None)
        return 0 if octets is None else len(octets) + _OVERHEAD
