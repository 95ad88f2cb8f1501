"""One POP3 session at a time for each maildrop (RFC 1939 4)."""

from __future__ import annotations

from typing import Protocol


class MaildropLock(Protocol):
    """A lock that is held."""

    async def release(self) -> None:
        """Give it up. Doing so twice does nothing."""
        ...


class MaildropLocks(Protocol):
    """Gives out the locks, one for each account. All sessions that may meet share one."""

    async def acquire(self, account: int) -> MaildropLock | None:
        """The lock of an account's INBOX, without waiting; None when another session holds it. Raises StoreError."""
        ...


class LocalLocks:
    """Locks within this process, where it is the only one; see `store.db.advisory` for several."""

    def __init__(self) -> None:
        self._held: dict[int, _LocalLock] = {}

    async def acquire(self, account: int) -> MaildropLock | None:
        if account in self._held:
            return None
        lock = self._held[account] = _LocalLock(account, self._held)
        return lock


class _LocalLock:
    __slots__ = ("_account", "_held")

    def __init__(self, account: int, held: dict[int, _LocalLock]) -> None:
        self._account = account
        self._held = held

    async def release(self) -> None:
        if self._held.get(self._account) is self:
            del self._held[self._account]
