"""USER, PASS and AUTH."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from mailwright.pop3 import responses
from mailwright.pop3.syntax import Auth, Command
from mailwright.sasl.api import Account, Denied
from mailwright.sasl.server import MECHANISMS, PlainServer, server_mechanism
from mailwright.sasl.steps import Challenge, Failure, NeedScramSecret, ServerMechanism, Step, VerifyPassword
from mailwright.sasl.wire import Cancelled, InvalidResponse, decode_response, encode

if TYPE_CHECKING:
    from mailwright.pop3.session import Pop3Session


async def user(session: Pop3Session, command: Command) -> bytes:
    """Any name is welcome here: who guesses learns nothing."""
    if not session.may_log_in:
        return session.refuse_login(responses.NEEDS_TLS)
    session.username = command.text
    return responses.SEND_PASS


async def pass_(session: Pop3Session, command: Command) -> bytes:
    if not session.may_log_in:
        return session.refuse_login(responses.NEEDS_TLS)
    name, session.username = session.username, None  # RFC 1939 7: after a failure USER comes again
    if name is None:
        return responses.USER_FIRST
    message = b"\0" + name.encode() + b"\0" + command.text.encode()
    return await _finish(session, PlainServer().respond(message))


async def auth(session: Pop3Session, command: Auth) -> bytes:
    """RFC 5034 4; without a mechanism, the list that older clients ask for."""
    if not session.may_log_in:
        return session.refuse_login(responses.NEEDS_TLS)
    session.username = None
    offered = session.mechanisms
    if not command.mechanism:
        return responses.lines(responses.ok("Mechanisms:"), offered)
    if command.mechanism not in offered:
        return responses.unknown_mechanism(offered)
    mechanism = server_mechanism(
        command.mechanism,
        channel_binding=session.channel_binding if MECHANISMS[0] in offered else None,
        nonce=secrets.token_urlsafe(18),
        server_secret=session.services.server_secret,
    )
    step = await _exchange(session, mechanism, mechanism.start(command.initial))
    return step if isinstance(step, bytes) else await _finish(session, step)


async def _exchange(session: Pop3Session, mechanism: ServerMechanism, step: Step) -> Step | bytes:
    """Challenges and responses, up to a step that decides or a reply that ends it."""
    authenticator, peer = session.services.authenticator, session.stream.peer.address
    while True:
        if isinstance(step, NeedScramSecret):
            secret = await authenticator.scram_secret(step.username, peer)
            if isinstance(secret, Denied):
                return session.refuse_login(responses.denied(secret.text, secret.temporary))
            step = mechanism.provide_secret(secret)
        elif isinstance(step, Challenge):
            line = await session.ask(encode(step.data))
            if line is None:
                return session.refuse_login(responses.RESPONSE_TOO_LONG)
            try:
                step = mechanism.respond(decode_response(line))
            except Cancelled:
                return responses.CANCELLED
            except InvalidResponse as error:
                step = Failure(str(error))
        else:
            return step


async def _finish(session: Pop3Session, step: Step) -> bytes:
    authenticator, peer = session.services.authenticator, session.stream.peer.address
    if isinstance(step, Failure):
        if step.username:
            await authenticator.scram_failed(step.username, peer)
        return session.refuse_login(responses.denied(step.reason, False))
    if isinstance(step, VerifyPassword):
        found = await authenticator.verify_password(step.authcid, step.password, peer)
    else:
        assert not isinstance(step, Challenge | NeedScramSecret)
        found = await authenticator.scram_succeeded(step.authcid, peer)
    if isinstance(found, Denied):
        return session.refuse_login(responses.denied(found.text, found.temporary))
    if not _is_oneself(step.authzid, step.authcid, found):
        return session.refuse_login(responses.NOT_ANOTHER)
    return await session.open(found)


def _is_oneself(authzid: str, authcid: str, account: Account) -> bool:
    return authzid.lower() in ("", authcid.lower(), account.address)
