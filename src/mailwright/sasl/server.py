"""The mechanisms of a server, and which of them to offer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mailwright.sasl.saslprep import ProhibitedText, prepare_password, saslprep
from mailwright.sasl.scram import ScramServer
from mailwright.sasl.steps import Challenge, Failure, ServerMechanism, Step, VerifyPassword

MECHANISMS: Final = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN")  # the order they are offered in
MAX_FIELD: Final = 1024  # octets of a user name or password


def offered_mechanisms(allowed: Sequence[str], channel_binding: bool) -> tuple[str, ...]:
    """Those of `allowed` that this connection can do; whether it may use any is the session's question."""
    return tuple(
        name for name in MECHANISMS if name in allowed and (channel_binding or not name.endswith("-PLUS"))
    )


class PlainServer(ServerMechanism):
    """RFC 4616."""

    __slots__ = ()

    def respond(self, response: bytes) -> Step:
        fields = response.split(b"\0")
        if len(fields) != 3:
            return Failure("the PLAIN message is malformed")
        return _verify(fields[0], fields[1], fields[2])


class LoginServer(ServerMechanism):
    """The LOGIN mechanism that old clients still speak (draft-murchison-sasl-login)."""

    __slots__ = ("_username",)

    def __init__(self) -> None:
        self._username: bytes | None = None

    def start(self, initial_response: bytes | None) -> Step:
        return self.respond(initial_response) if initial_response else Challenge(b"Username:")

    def respond(self, response: bytes) -> Step:
        if self._username is None:
            self._username = response
            return Challenge(b"Password:")
        return _verify(b"", self._username, response)


def _verify(authzid: bytes, authcid: bytes, password: bytes) -> Step:
    if not authcid or not password or max(len(authzid), len(authcid), len(password)) > MAX_FIELD:
        return Failure("the user name or the password is empty or too long")
    try:
        name = saslprep(authcid.decode())
        acting_as = saslprep(authzid.decode())
        text = password.decode()
    except UnicodeDecodeError:
        return Failure("the user name or the password is not UTF-8")
    except ProhibitedText as error:
        return Failure(f"the user name is malformed: {error}")
    if not name or "\0" in text:
        return Failure("the user name or the password is malformed")
    return VerifyPassword(acting_as, name, prepare_password(text))


def server_mechanism(
    name: str, *, channel_binding: bytes | None, nonce: str, server_secret: bytes
) -> ServerMechanism:
    """A fresh machine for one login. Raises KeyError for a name that is not in MECHANISMS.

    `channel_binding` is the tls-server-end-point data where -PLUS is offered, else None; `nonce` must be
    fresh, printable and without a comma; `server_secret` makes the challenges for unknown users.
    """
    if name == "PLAIN":
        return PlainServer()
    if name == "LOGIN":
        return LoginServer()
    if name in MECHANISMS:
        return ScramServer(name.endswith("-PLUS"), channel_binding, nonce, server_secret)
    raise KeyError(name)
