"""LOGIN (RFC 3501 6.2.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mailwright.imap.capabilities import may_use_passwords
from mailwright.imap.connection import Command
from mailwright.imap.reply import Refused, Reply
from mailwright.imap.syntax.lexer import Lexer
from mailwright.sasl.api import Account, Denied
from mailwright.sasl.saslprep import ProhibitedText, prepare_password, saslprep

if TYPE_CHECKING:
    from mailwright.imap.session import Session


class LoginArgs(NamedTuple):
    username: bytes
    password: bytes


def parse(lexer: Lexer) -> LoginArgs:
    lexer.space()
    username = lexer.astring()
    lexer.space()
    return LoginArgs(username, lexer.astring())


async def run(session: Session, command: Command) -> Reply:
    service = session.service
    if not may_use_passwords(service, session.stream.tls is not None):
        raise Refused(
            "A password may only be sent under TLS; use STARTTLS or the TLS port", "PRIVACYREQUIRED"
        )
    username, password = command.args
    try:
        name = saslprep(username.decode("utf-8"))
        secret = prepare_password(password.decode("utf-8"))
    except (UnicodeDecodeError, ProhibitedText):
        raise Refused("The user name or the password is malformed", "AUTHENTICATIONFAILED") from None
    result = await service.authenticator.verify_password(name, secret, session.stream.peer.address)
    return finish_login(session, result, command.name)


def finish_login(session: Session, result: Account | Denied, name: str) -> Reply:
    """The end of LOGIN and AUTHENTICATE, with the capabilities that hold from now on."""
    if isinstance(result, Denied):
        raise Refused(result.text, "UNAVAILABLE" if result.temporary else "AUTHENTICATIONFAILED")
    session.log_in(result)
    return Reply(f"{name}: you are {result.address}", session.capability_code())
