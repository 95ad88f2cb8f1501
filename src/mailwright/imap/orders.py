"""Results of SORT and THREAD, kept for who asks again: webmail does so for each page.

What messages are sorted and threaded by never changes, so a result holds for the same UIDs of a mailbox.
"""

from __future__ import annotations

from array import array
from typing import Final, NamedTuple

from mailwright.imap.view import Key

_MAX_OCTETS: Final = 16 * 1024 * 1024  # of all results together

Name = tuple[Key, object]  # a mailbox, and how it was ordered


class _Kept(NamedTuple):
    uids: array[int]
    numbers: array[int]  # what stands for the UIDs in the result
    result: array[int] | bytes

    @property
    def octets(self) -> int:
        size = len(self.result) * (4 if isinstance(self.result, array) else 1)
        return size + 4 * (len(self.uids) + len(self.numbers))


class Orders:
    """The last result of each kind, the one that was asked for longest ago first."""

    __slots__ = ("_kept", "_octets")

    def __init__(self) -> None:
        self._kept: dict[Name, _Kept] = {}
        self._octets = 0

    def find(self, name: Name, uids: array[int], numbers: array[int]) -> array[int] | bytes | None:
        """The result for just these UIDs, shown as these numbers; None when it is not known."""
        kept = self._kept.get(name)
        if kept is None or kept.uids != uids or kept.numbers != numbers:
            return None
        self._kept[name] = self._kept.pop(name)
        return kept.result

    def last(self, name: Name) -> tuple[array[int], array[int] | bytes] | None:
        """The result that is kept of this kind, behind its UIDs, whatever they are."""
        kept = self._kept.get(name)
        return None if kept is None else (kept.uids, kept.result)

    def keep(self, name: Name, uids: array[int], numbers: array[int], result: array[int] | bytes) -> None:
        """Keep a result in place of the last one of its kind."""
        kept = _Kept(uids, numbers, result)
        self._drop(name)
        if kept.octets > _MAX_OCTETS // 4:
            return
        self._kept[name] = kept
        self._octets += kept.octets
        while self._octets > _MAX_OCTETS:
            self._drop(next(iter(self._kept)))

    def _drop(self, name: Name) -> None:
        old = self._kept.pop(name, None)
        if old is not None:
            self._octets -= old.octets
