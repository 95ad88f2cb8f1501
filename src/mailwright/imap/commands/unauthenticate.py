"""UNAUTHENTICATE (RFC 8437): the connection is as it was before the login, under TLS but compressed no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap.connection import Command
from mailwright.imap.deflated import DeflatedStream
from mailwright.imap.reply import Reply

if TYPE_CHECKING:
    from mailwright.imap.session import Session


async def run(session: Session, command: Command) -> Reply | None:
    session.log_out()
    reply = Reply("You are nobody now", session.capability_code())
    stream = session.stream
    if not isinstance(stream, DeflatedStream):
        return reply
    # RFC 8437 4.1: this is the last that is compressed, and so was the command the client's last.
    await session.drain()
    last = session.tagged(command.tag, reply.condition, reply.text, reply.code)
    session.stream, rest = await stream.end(last, session.service.limits.imap_login_timeout)
    session.connection.reset()
    if rest:
        session.connection.receive_data(rest)
    return None
