"""CLOSE and UNSELECT (RFC 3501 6.4.2, RFC 3691)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap.commands.expunge import expunge_deleted
from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply

if TYPE_CHECKING:
    from mailwright.imap.session import Session


async def run(session: Session, command: Command) -> Reply:
    selected = session.selected
    assert selected is not None
    if command.name == "CLOSE" and not selected.read_only and not selected.gone and "e" in selected.rights:
        # No EXPUNGE responses, and no HIGHESTMODSEQ: the client learns nothing more of this mailbox (RFC 7162 3.2.8).
        await session.service.store.write(expunge_deleted, selected.key, None)
    session.selected = None
    return Reply(f"{command.name} completed")
