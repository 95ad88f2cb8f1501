"""SUBSCRIBE and UNSUBSCRIBE (RFC 3501 6.3.6, 6.3.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap.commands.delete import parse
from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply
from mailwright.store.mailboxes import subscribe

if TYPE_CHECKING:
    from mailwright.imap.session import Session

__all__ = ["parse", "run"]


async def run(session: Session, command: Command) -> Reply:
    on = command.name == "SUBSCRIBE"
    await session.service.store.write(subscribe, session.account_id, command.args, on)
    session.note_own_names(command.args)
    return Reply(f"{command.name} completed")
