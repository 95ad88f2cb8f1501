"""CAPA, STLS, UTF8 and LANG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.pop3 import responses
from mailwright.pop3.commands.row import State
from mailwright.pop3.syntax import Command

if TYPE_CHECKING:
    from mailwright.pop3.session import Pop3Session


async def capa(session: Pop3Session, command: Command) -> bytes:
    """RFC 2449 5."""
    return responses.lines(responses.ok("Capabilities:"), capabilities(session))


def capabilities(session: Pop3Session) -> list[str]:
    """Those that hold now: what logs in is named only where it may be used."""
    names = ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "UTF8 USER", "LANG"]
    if session.may_log_in:
        names.append("USER")
        if session.mechanisms:
            names.append("SASL " + " ".join(session.mechanisms))
    if (
        session.state == State.AUTHORIZATION
        and session.services.tls is not None
        and session.stream.tls is None
    ):
        names.append("STLS")
    return [*names, "EXPIRE NEVER", "LOGIN-DELAY 0", "IMPLEMENTATION Mailwright"]


async def stls(session: Pop3Session, command: Command) -> bytes:
    """RFC 2595 4."""
    if session.stream.tls is not None:
        return responses.TLS_ALREADY
    if session.services.tls is None:
        return responses.NO_TLS
    await session.start_tls(session.services.tls())
    return b""


async def utf8(session: Pop3Session, command: Command) -> bytes:
    """RFC 6856 2.1. From now on messages go out octet by octet as they came."""
    session.utf8 = True
    return responses.UTF8_ON


async def lang(session: Pop3Session, command: Command) -> bytes:
    """RFC 6856 3."""
    if not command.text:
        return responses.LANGUAGES
    if command.text == "*" or command.text.lower().partition("-")[0] == "en":
        return responses.ENGLISH
    return responses.NO_SUCH_LANGUAGE
