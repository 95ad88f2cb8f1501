"""STAT, LIST and UIDL (RFC 1939 5, 7)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mailwright.pop3 import responses
from mailwright.pop3.syntax import Command

if TYPE_CHECKING:
    from mailwright.pop3.session import Pop3Session

_SLICE: Final = 1000  # messages listed before others get their turn


async def stat(session: Pop3Session, command: Command) -> bytes:
    maildrop = session.maildrop
    return responses.status(maildrop.count, maildrop.octets)


async def list_(session: Pop3Session, command: Command) -> bytes:
    return await _listing(session, command.number, session.maildrop.size)


async def uidl(session: Pop3Session, command: Command) -> bytes:
    return await _listing(session, command.number, session.maildrop.unique_id)


async def _listing(session: Pop3Session, number: int, value: Callable[[int], int | str]) -> bytes:
    maildrop = session.maildrop
    if number:
        return session.refusal(number) or responses.pair(number, str(value(number)))
    session.write(responses.listing_begins(maildrop.count, maildrop.octets))
    for first in range(1, maildrop.total + 1, _SLICE):
        numbers = maildrop.numbers(first, first + _SLICE - 1)
        session.write(responses.pairs([(number, value(number)) for number in numbers]))
        if maildrop.total > _SLICE:
            await session.flush()
            await asyncio.sleep(0)
    return responses.END
