"""LOGOUT (RFC 3501 6.1.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply

if TYPE_CHECKING:
    from mailwright.imap.session import Session


async def run(session: Session, command: Command) -> Reply:
    session.selected = None
    session.closing = True
    session.write(session.untagged("BYE", "Logging out"))
    return Reply("LOGOUT completed")
