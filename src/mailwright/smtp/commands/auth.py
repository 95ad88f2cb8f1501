"""AUTH logs in (RFC 4954)."""

from __future__ import annotations

import asyncio
import logging
import secrets
from functools import partial
from typing import TYPE_CHECKING

from mailwright.sasl.api import Account, Denied
from mailwright.sasl.login import log_in
from mailwright.sasl.server import server_mechanism
from mailwright.sasl.wire import Cancelled, InvalidResponse, decode_initial_response, decode_response, encode
from mailwright.smtp import replies
from mailwright.smtp.commands.hello import mechanisms
from mailwright.smtp.connection import AuthResponse
from mailwright.smtp.replies import Reply
from mailwright.smtp.syntax.commands import Auth

if TYPE_CHECKING:
    from mailwright.smtp.session import Session

log = logging.getLogger("mailwright.smtp")

_FAILURE_WEIGHT = 5  # errors that a failed login counts for


class _LineTooLong(Exception):
    """The client's response was."""


class _ConnectionOver(Exception):
    """What the connection raised, told apart from what the directory raises."""

    def __init__(self, why: Exception) -> None:
        super().__init__(str(why))
        self.why = why


async def run(session: Session, command: Auth) -> Reply:
    offered = mechanisms(session)
    if command.mechanism not in offered:
        return replies.UNKNOWN_MECHANISM
    machine = server_mechanism(
        command.mechanism,
        channel_binding=session.channel_binding if "SCRAM-SHA-256-PLUS" in offered else None,
        nonce=secrets.token_urlsafe(18),
        server_secret=session.policy.server_secret,
    )
    try:
        initial = (
            None if command.initial_response is None else decode_initial_response(command.initial_response)
        )
        result = await log_in(
            machine, initial, partial(_converse, session), session.authenticator, session.info.peer.address
        )
    except InvalidResponse as fault:
        return replies.malformed_response(str(fault))
    except Cancelled:
        return replies.AUTH_CANCELLED
    except _LineTooLong:
        return replies.AUTH_TOO_LONG
    except _ConnectionOver as over:
        raise over.why from None
    except Exception:
        log.exception("%s: the login could not be checked", session.info.id)
        return replies.LOGIN_UNAVAILABLE
    return await _answer(session, command.mechanism, result)


async def _converse(session: Session, challenge: bytes) -> bytes:
    """Send a challenge; the client's answer, decoded. Raises what `run` catches."""
    session.write(replies.challenge(encode(challenge).decode()))
    session.connection.expect_auth_response()
    try:
        event = await session.next_event()
    except Exception as error:
        raise _ConnectionOver(error) from error
    if not isinstance(event, AuthResponse):
        raise _ConnectionOver(ConnectionResetError("closed in the middle of AUTH"))
    if event.line is None:
        raise _LineTooLong
    return decode_response(event.line)


async def _answer(session: Session, mechanism: str, result: Account | Denied) -> Reply:
    if isinstance(result, Account):
        session.logged_in(result)
        log.info(
            "%s: %s logged in by %s from %s", session.info.id, result.address, mechanism, session.info.peer
        )
        return replies.AUTHENTICATED
    if result.temporary:
        return replies.authentication_unavailable(result.text)
    log.warning("%s: login by %s from %s failed", session.info.id, mechanism, session.info.peer)
    session.failed_logins += 1
    session.errors += _FAILURE_WEIGHT - 1
    session.send_written()
    await asyncio.sleep(session.policy.auth_delay * session.failed_logins)
    return replies.authentication_failed(result.text)
