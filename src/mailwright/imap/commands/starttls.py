"""STARTTLS (RFC 3501 6.2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap.connection import Command
from mailwright.imap.deflated import DeflatedStream
from mailwright.imap.reply import Bad, Refused

if TYPE_CHECKING:
    from mailwright.imap.session import Session


async def run(session: Session, command: Command) -> None:
    if session.stream.tls is not None:
        raise Bad("The connection is under TLS already")
    if isinstance(session.stream, DeflatedStream):
        raise Bad("The connection is compressed; TLS comes before compression")
    tls = session.service.tls
    if tls is None:
        raise Refused("This server has no certificate for STARTTLS", "CANNOT")
    session.write(session.tagged(command.tag, "OK", "Begin TLS negotiation now"))
    # Whatever came before the handshake is forged or mistaken (RFC 3501 6.2.1).
    session.connection.reset()
    await session.drain()
    await session.stream.start_tls(tls())
