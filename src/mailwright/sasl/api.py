"""What the protocols ask of whoever keeps the accounts."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from mailwright.sasl.secret import ScramSecret


class Account(NamedTuple):
    """Who logged in. `address` is the account's main address, lower-case.

    `credential` tells the directory by which of the account's passwords; b'': by none of them.
    """

    id: int
    address: str
    credential: bytes = b""


class Denied(NamedTuple):
    """Why nobody logged in. `temporary`: the same credentials may do later (454, `NO [UNAVAILABLE]`)."""

    temporary: bool
    text: str  # for the person: what happened and what to do; never tells whether the account exists


class Ended(NamedTuple):
    """Why a login holds no longer. `expired`: its password does not, another one may."""

    expired: bool
    text: str


class Authenticator(Protocol):
    """The directory's side of a login. `peer` is the client's IP address, for lock-outs and the log."""

    async def verify_password(self, username: str, password: str, peer: str) -> Account | Denied:
        """Check a password that is already prepared by `sasl.saslprep.prepare_password`."""
        ...

    async def scram_secret(self, username: str, peer: str) -> ScramSecret | Denied | None:
        """The stored secret; None for an unknown account or one without it; Denied while locked out."""
        ...

    async def scram_succeeded(self, username: str, peer: str) -> Account | Denied:
        """The client proved that it knows the password; Denied when the account still may not log in."""
        ...

    async def scram_failed(self, username: str, peer: str) -> None:
        """The proof was wrong (or the account unknown): count it."""
        ...

    def watch(self, account: Account, ended: Callable[[Ended], None]) -> Callable[[], None]:
        """Call `ended` in the event loop once this login holds no longer; the result ends the watch.

        Soon after the password was changed or revoked or the account disabled or removed; within a minute or so when
        another process did that.
        """
        ...
