"""CLOSE and UNSELECT (RFC 3501 6.4.2, RFC 3691)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap.commands.expunge import expunge_deleted
from mailwright.imap.connection import Command
from mailwright.imap.news import learn_news
from mailwright.imap.reply import Reply

if TYPE_CHECKING:
    from mailwright.imap.session import Session


async def run(session: Session, command: Command) -> Reply:
    selected = session.selected
    assert selected is not None
    code = ""
    if command.name == "CLOSE" and not selected.read_only and not selected.gone and "e" in selected.rights:
        # No EXPUNGE responses: the client learns nothing more of this mailbox.
        modseq = await session.service.store.write(expunge_deleted, selected.key, None)
        if modseq and "CONDSTORE" in session.enabled:
            await learn_news(session, selected, read=True)
            # What others removed before it is not told any more.
            known = selected.view.complete
            code = f"HIGHESTMODSEQ {modseq if known == modseq - 1 else known}"  # RFC 7162 3.2.8
    session.selected = None
    return Reply(f"{command.name} completed", code)
