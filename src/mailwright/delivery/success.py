"""Who asked to hear that a message is in a mailbox here, or went to the many behind an alias: `NOTIFY=SUCCESS`
of RCPT (RFC 3461 4.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from mailwright.delivery.routing import Route
from mailwright.queue.model import Notice
from mailwright.queue.values import Message, Outcome, Recipient, Result, parse_notify
from mailwright.smtp.api import Envelope, Role, SessionInfo
from mailwright.smtp.api import Recipient as Given

_STRANGERS: Final = 25  # recipients of whom a stranger is told, in one report: the sender may be a forged one
_DELIVERED: Final = Result(Outcome.DELIVERED, "content", "2.1.5", "")
_EXPANDED: Final = Result(Outcome.EXPANDED, "content", "2.1.5", "")


class Asked(NamedTuple):
    """The message, and each recipient that asked with the accounts that must have it, and what is told then."""

    message: Message
    recipients: tuple[tuple[Recipient, frozenset[int], Result], ...]


def is_expanded(route: Route) -> bool:
    """Whether an alias leads to several, some of them elsewhere."""
    count = len(route.resolution.accounts) + len(route.remote)
    return route.local and bool(route.remote) and count > 1


def passed_on(recipient: Given) -> Given:
    """A recipient as those behind an alias of several get it: its sender hears of success once (RFC 3461 5.2.7.3)."""
    if "SUCCESS" not in recipient.notify:
        return recipient
    left = tuple(word for word in recipient.notify if word != "SUCCESS")
    return recipient._replace(notify=left or ("NEVER",))


def asked(
    info: SessionInfo, envelope: Envelope, routes: Sequence[Route], head: bytes, now: float
) -> Asked | None:
    """Whose delivery the sender is to be told of; None: nobody's. `head` is the header that the report gives back.

    Over LMTP the server in front tells, as we do where we are that server.
    """
    if envelope.reverse_path.is_null or info.role is Role.LMTP:
        return None
    found = {  # each path once, however often it was named
        given.path: (
            Recipient(n, str(given.path), given.orcpt, parse_notify(",".join(given.notify)), 1, False),
            frozenset(account.account for account in route.resolution.accounts),
            _EXPANDED if is_expanded(route) else _DELIVERED,
        )
        for n, (given, route) in enumerate(zip(envelope.recipients, routes, strict=True))
        if "SUCCESS" in given.notify and (route.resolution.accounts or is_expanded(route))
    }
    if not found:
        return None
    account = info.account.id if info.account is not None else 0
    message = Message(
        0, account, 0, len(head), str(envelope.reverse_path), envelope.envid, "HDRS", envelope.body,
        envelope.smtputf8, envelope.requiretls, "en", now, now, head,
    )  # fmt: skip
    recipients = tuple(found.values())
    return Asked(message, recipients if info.account is not None else recipients[:_STRANGERS])


def notice(asked: Asked, failed: dict[int, str], language: str) -> Notice:
    """What is to be told once it is known which accounts could not take the message."""
    results = tuple(
        (recipient, result) for recipient, accounts, result in asked.recipients if accounts.isdisjoint(failed)
    )
    return Notice(asked.message._replace(language=language), results)
