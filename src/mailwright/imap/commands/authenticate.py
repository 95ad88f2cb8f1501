"""AUTHENTICATE with an initial response (RFC 3501 6.2.2, RFC 4959)."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, NamedTuple

from mailwright.imap import responses
from mailwright.imap.capabilities import may_use_passwords
from mailwright.imap.commands.login import finish_login
from mailwright.imap.connection import Command, Line, SyntaxFault
from mailwright.imap.reply import Bad, Refused, Reply
from mailwright.imap.syntax.lexer import Lexer
from mailwright.sasl.api import Account, Denied
from mailwright.sasl.server import offered_mechanisms, server_mechanism
from mailwright.sasl.steps import (
    Challenge,
    Failure,
    NeedScramSecret,
    ServerMechanism,
    Step,
    Success,
    VerifyPassword,
)
from mailwright.sasl.wire import Cancelled, InvalidResponse, decode_initial_response, decode_response, encode

if TYPE_CHECKING:
    from mailwright.imap.session import Session


class AuthenticateArgs(NamedTuple):
    mechanism: str
    initial_response: bytes | None


def parse(lexer: Lexer) -> AuthenticateArgs:
    lexer.space()
    mechanism = lexer.word()
    initial_response = None
    if lexer.accept(32) and not lexer.at_end():
        initial_response = lexer.text[lexer.pos :].rstrip(b" ")
        lexer.pos = len(lexer.text)
    return AuthenticateArgs(mechanism, initial_response)


async def run(session: Session, command: Command) -> Reply:
    service = session.service
    tls = session.stream.tls
    binding = tls.server_end_point if tls is not None else None
    if not may_use_passwords(service, tls is not None):
        raise Refused("Logging in needs TLS; use STARTTLS or the TLS port", "PRIVACYREQUIRED")
    args: AuthenticateArgs = command.args
    if args.mechanism not in offered_mechanisms(service.mechanisms, binding is not None):
        raise Refused(f"The mechanism {args.mechanism} is not offered", "CANNOT")
    mechanism = server_mechanism(
        args.mechanism,
        channel_binding=binding,
        nonce=secrets.token_urlsafe(24),
        server_secret=service.server_secret,
    )
    try:
        initial = None if args.initial_response is None else decode_initial_response(args.initial_response)
        result = await _exchange(session, mechanism, mechanism.start(initial))
    except InvalidResponse as error:
        raise Bad(f"AUTHENTICATE: {error}") from None
    except Cancelled:
        raise Bad("AUTHENTICATE cancelled") from None
    return finish_login(session, result, command.name)


async def _exchange(session: Session, mechanism: ServerMechanism, step: Step) -> Account | Denied:
    """Go through the steps. Raises InvalidResponse, Cancelled and Refused."""
    authenticator = session.service.authenticator
    peer = session.stream.peer.address
    while True:
        if isinstance(step, Challenge):
            step = mechanism.respond(await _ask(session, step.data))
        elif isinstance(step, NeedScramSecret):
            secret = await authenticator.scram_secret(step.username, peer)
            if isinstance(secret, Denied):
                return secret
            step = mechanism.provide_secret(secret)
        elif isinstance(step, Failure):
            if step.username:
                await authenticator.scram_failed(step.username, peer)
            raise Refused("The user name or the password is wrong", "AUTHENTICATIONFAILED")
        elif isinstance(step, VerifyPassword):
            _check_identity(step)
            return await authenticator.verify_password(step.authcid, step.password, peer)
        else:
            _check_identity(step)
            return await authenticator.scram_succeeded(step.authcid, peer)


async def _ask(session: Session, challenge: bytes) -> bytes:
    session.write(responses.continuation(encode(challenge)))
    session.connection.expect_line()
    event = await session.next_event()
    if isinstance(event, Line):
        return decode_response(event.text)
    if isinstance(event, SyntaxFault):
        raise InvalidResponse(event.text)
    raise ConnectionResetError("the client left while it logged in")


def _check_identity(step: VerifyPassword | Success) -> None:
    if step.authzid and step.authzid.lower() != step.authcid.lower():
        raise Refused("Logging in for somebody else is not allowed", "AUTHORIZATIONFAILED")
