"""IDLE (RFC 2177)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap import responses
from mailwright.imap.connection import Closed, Command, Line
from mailwright.imap.reply import Bad, Reply
from mailwright.imap.telling import tell_idle

if TYPE_CHECKING:
    from mailwright.imap.session import Session


async def run(session: Session, command: Command) -> Reply:
    session.write(responses.continuation(b"idling"))
    session.connection.expect_line()
    session.idle = True
    try:
        read = await tell_idle(session, read=True)
        while (event := await session.poll_event()) is None:
            read = await tell_idle(session, read=read)
    finally:
        session.idle = False
    if isinstance(event, Line) and event.text.strip().upper() == b"DONE":
        return Reply("IDLE completed")
    if isinstance(event, Closed):
        raise ConnectionResetError("the client left while idle")
    raise Bad("IDLE ends with DONE")
