"""Whether an account may send: asked of the store, with a short memory for what is allowed."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from mailwright.base.clock import Clock
from mailwright.directory.resolve import may_send_as
from mailwright.queue.limits import Refusal, SendingLimits, check_sending, messages_left
from mailwright.queue.usage import read_suppression, read_usage
from mailwright.smtp import replies
from mailwright.smtp.replies import Reply, reply
from mailwright.store.db.api import Transaction
from mailwright.store.store import Store

_FRESH: Final = 1.0  # seconds for which a permission is used again
_REMEMBERED: Final = 10_000


class Permissions:
    """Remembers for a second what an account may do, never what it may not."""

    def __init__(self, store: Store, clock: Clock, separator: str, limits: SendingLimits) -> None:
        self._store = store
        self._clock = clock
        self._separator = separator
        self._limits = limits
        # What was asked -> the end of the memory, and how many messages it is good for.
        self._allowed: OrderedDict[tuple[int, str, str], tuple[float, int]] = OrderedDict()

    def may_send(self, account: int, address: str) -> bool:
        """Whether it is remembered that `check_sender` has nothing against it."""
        return self._is_known((account, "from", address))

    async def check_sender(self, account: int, address: str) -> Reply | None:
        """`address`, '' for the null reverse-path, must belong to the account, which must be within its limits."""
        key = (account, "from", address)
        if self._is_known(key):
            return None
        left = await self._store.look_up(
            _may_send, account, address, self._clock.now(), self._separator, self._limits
        )
        if isinstance(left, int):
            self._remember(key, left)
            return None
        return left

    async def is_own(self, account: int, address: str) -> bool:
        """Whether an address belongs to the account."""
        return await self._store.look_up(may_send_as, account, address, self._separator)

    def may_send_to(self, account: int, address: str) -> bool:
        """Whether it is remembered that `check_recipient` has nothing against it."""
        return self._is_known((account, "to", address))

    async def check_recipient(self, account: int, address: str) -> Reply | None:
        """An address that refused this account's mail for good is not tried again and again."""
        key = (account, "to", address)
        if self._is_known(key):
            return None
        found = await self._store.look_up(read_suppression, account, address, self._clock.now())
        if found is not None:
            return replies.suppressed(found.reason)
        self._remember(key, _REMEMBERED)
        return None

    def _is_known(self, key: tuple[int, str, str]) -> bool:
        until, left = self._allowed.get(key, (0.0, 0))
        if left <= 0 or until <= self._clock.monotonic():
            return False
        self._allowed[key] = until, left - 1
        return True

    def _remember(self, key: tuple[int, str, str], left: int) -> None:
        self._allowed[key] = self._clock.monotonic() + _FRESH, left - 1
        self._allowed.move_to_end(key)
        if len(self._allowed) > _REMEMBERED:
            self._allowed.popitem(last=False)


def _may_send(
    tx: Transaction, account: int, address: str, now: float, separator: str, limits: SendingLimits
) -> int | Reply:
    """How many messages may be sent before this is to be asked again, or the refusal."""
    if address and not may_send_as(tx, account, address, separator):
        return replies.NOT_YOUR_ADDRESS
    usage = read_usage(tx, account, now)
    refusal = check_sending(limits, usage, 1)
    return messages_left(limits, usage) if refusal is None else _refuse(refusal)


def _refuse(refusal: Refusal) -> Reply:
    return reply(450, "4.7.1", refusal.text)
