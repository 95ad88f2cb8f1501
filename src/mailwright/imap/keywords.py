"""The keywords in use in each mailbox, as far as they were met since the start: for the FLAGS response."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mailwright.imap.view import Key

COMMON: Final = (
    "$Forwarded $Important $Junk $MDNSent $NotJunk $Phishing"  # those that clients look for (RFC 5788)
)
MAX_LISTED: Final = 200  # keywords of one mailbox
_MAX_MAILBOXES: Final = 20_000
_COMMON: Final = frozenset(COMMON.split())
_NONE: Final[frozenset[str]] = frozenset()


class Keywords:
    """Beside the common ones."""

    __slots__ = ("_met",)

    def __init__(self) -> None:
        self._met: dict[Key, frozenset[str]] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._met

    def of(self, key: Key) -> frozenset[str]:
        return self._met.get(key, _NONE)

    def add(self, key: Key, texts: Iterable[str]) -> frozenset[str]:
        """Take in keywords as the store keeps them, separated by spaces; all of the mailbox."""
        known = self._met.get(key, _NONE)
        words = {word for text in texts if text for word in text.split(" ")} - _COMMON - known
        if words and len(known) < MAX_LISTED:
            taken = {word.lower() for word in _COMMON | known}
            new = {word.lower(): word for word in sorted(words) if word.lower() not in taken}
            known |= frozenset(list(new.values())[: MAX_LISTED - len(known)])
        if len(self._met) >= _MAX_MAILBOXES:
            self._met.clear()
        self._met[key] = known
        return known
