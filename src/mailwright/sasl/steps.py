"""What a server-side mechanism asks of the session that drives it."""

from __future__ import annotations

from typing import NamedTuple

from mailwright.sasl.secret import ScramSecret


class Challenge(NamedTuple):
    """Send this (in base64) and hand the client's answer to `respond`."""

    data: bytes


class VerifyPassword(NamedTuple):
    """The exchange is over; the directory decides. `authzid` is '' or whom the client wants to act as."""

    authzid: str
    authcid: str
    password: str


class NeedScramSecret(NamedTuple):
    """Look the user up and call `provide_secret`."""

    username: str


class Success(NamedTuple):
    """The client proved to be `authcid`."""

    authzid: str
    authcid: str


class Failure(NamedTuple):
    """The exchange failed. `username` is '' when the client never named one."""

    reason: str
    username: str = ""


Step = Challenge | VerifyPassword | NeedScramSecret | Success | Failure


class ServerMechanism:
    """One login on the server's side: `start`, then `respond` and `provide_secret` as the steps ask."""

    __slots__ = ()

    def start(self, initial_response: bytes | None) -> Step:
        """None: the client sent no initial response (an empty one is b'')."""
        return Challenge(b"") if initial_response is None else self.respond(initial_response)

    def respond(self, response: bytes) -> Step:
        """The client's answer to a Challenge, decoded from base64."""
        raise NotImplementedError

    def provide_secret(self, secret: ScramSecret | None) -> Step:
        """The answer to NeedScramSecret; None goes on with a fake one, and fails at the end."""
        return Failure("no secret was asked for")
