"""The one way through a login that SMTP, IMAP and POP3 share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from mailwright.sasl.api import Account, Authenticator, Denied
from mailwright.sasl.steps import Challenge, Failure, NeedScramSecret, ServerMechanism, Step, VerifyPassword


async def log_in(
    mechanism: ServerMechanism,
    initial_response: bytes | None,
    converse: Callable[[bytes], Awaitable[bytes]],
    authenticator: Authenticator,
    peer: str,
) -> Account | Denied:
    """Drive `mechanism` to its end; `converse` sends a challenge and returns the decoded response.

    What `converse` raises (`wire.Cancelled`, `wire.InvalidResponse`) passes through.
    """
    step = mechanism.start(initial_response)
    while True:
        if isinstance(step, Challenge):
            step = mechanism.respond(await converse(step.data))
        elif isinstance(step, NeedScramSecret):
            secret = await authenticator.scram_secret(step.username, peer)
            if isinstance(secret, Denied):
                return secret
            step = mechanism.provide_secret(secret)
        else:
            return await _decide(step, authenticator, peer)


async def _decide(step: Step, authenticator: Authenticator, peer: str) -> Account | Denied:
    if isinstance(step, VerifyPassword):
        result = await authenticator.verify_password(step.authcid, step.password, peer)
        return _act_as(result, step.authzid, step.authcid)
    if isinstance(step, Failure):
        if step.username:
            await authenticator.scram_failed(step.username, peer)
        return Denied(False, step.reason[:1].upper() + step.reason[1:])
    if isinstance(step, Challenge | NeedScramSecret):
        raise TypeError(f"{step!r} does not end a login")
    return _act_as(await authenticator.scram_succeeded(step.authcid, peer), step.authzid, step.authcid)


def _act_as(result: Account | Denied, authzid: str, authcid: str) -> Account | Denied:
    """Nobody acts as somebody else (RFC 4422 3.4.1): an authorization identity only repeats the account."""
    if isinstance(result, Denied) or authzid.lower() in ("", authcid.lower(), result.address):
        return result
    return Denied(False, f"You may not act as {authzid}; leave the authorization identity empty")
