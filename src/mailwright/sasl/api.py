"""What the protocols ask of whoever keeps the accounts."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from mailwright.sasl.secret import ScramSecret


class Account(NamedTuple):
    """Who logged in. `address` is the account's main address, lower-case."""

    id: int
    address: str


class Denied(NamedTuple):
    """Why nobody logged in. `temporary`: the same credentials may do later (454, `NO [UNAVAILABLE]`)."""

    temporary: bool
    text: str  # for the person: what happened and what to do; never tells whether the account exists


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
