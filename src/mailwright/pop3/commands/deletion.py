"""DELE and RSET: marks that only QUIT turns into deeds (RFC 1939 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.pop3 import responses
from mailwright.pop3.syntax import Command

if TYPE_CHECKING:
    from mailwright.pop3.session import Pop3Session


async def dele(session: Pop3Session, command: Command) -> bytes:
    refusal = session.refusal(command.number)
    if refusal:
        return refusal
    session.maildrop.delete(command.number)
    return responses.deleted(command.number)


async def rset(session: Pop3Session, command: Command) -> bytes:
    maildrop = session.maildrop
    maildrop.restore()
    return responses.listing_begins(maildrop.count, maildrop.octets)
