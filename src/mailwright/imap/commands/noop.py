"""NOOP and CHECK (RFC 3501 6.1.2, 6.4.1): news comes before the reply, as after every command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply

if TYPE_CHECKING:
    from mailwright.imap.session import Session


async def run(session: Session, command: Command) -> Reply:
    return Reply(f"{command.name} completed")
