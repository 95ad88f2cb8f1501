"""CAPABILITY (RFC 3501 6.1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply

if TYPE_CHECKING:
    from mailwright.imap.session import Session


async def run(session: Session, command: Command) -> Reply:
    session.write(f"* {session.capability_code()}\r\n".encode("ascii"))
    return Reply("CAPABILITY completed")
