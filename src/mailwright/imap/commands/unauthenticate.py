"""UNAUTHENTICATE (RFC 8437): the connection is as it was before the login, under TLS and compressed as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply

if TYPE_CHECKING:
    from mailwright.imap.session import Session


async def run(session: Session, command: Command) -> Reply:
    session.log_out()
    return Reply("You are nobody now", session.capability_code())
