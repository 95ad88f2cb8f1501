"""How much an account may send, and when its sending is stopped until a person has looked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

UNLIMITED: Final = 1_000_000_000


@dataclass(frozen=True)
class SendingLimits:
    """For one account; 0 means no limit."""

    messages_per_hour: int = 300
    messages_per_day: int = 2000
    recipients_per_hour: int = 1000
    recipients_per_day: int = 5000


@dataclass(frozen=True)
class BreakerLimits:
    """When an account is held. A stranger is a recipient to whom the account has not written before."""

    strangers_per_hour: int = 100  # what is always allowed
    strangers_factor: float = 10.0  # and so many times the account's usual hour
    failures_per_hour: int = 20  # recipients refused with 5yz: what is always allowed
    failures_share: float = 0.3  # and this share of all that came to an end in the hour


@dataclass(frozen=True)
class Usage:
    """What an account has sent: in the last hour, the last day, and the days before (for what is usual)."""

    hour_messages: int = 0
    hour_recipients: int = 0
    hour_strangers: int = 0
    hour_delivered: int = 0
    hour_failed: int = 0
    day_messages: int = 0
    day_recipients: int = 0
    past_strangers: int = 0
    past_hours: int = 0  # hours before the last one that were counted


@dataclass(frozen=True)
class Refusal:
    """Why a message is not taken now. `text` is fit for a 4yz reply."""

    text: str
    retry_after: float


def check_sending(limits: SendingLimits, usage: Usage, recipients: int) -> Refusal | None:
    """Whether the account may send one more message to so many recipients now."""
    rows = (
        (limits.messages_per_hour, usage.hour_messages, 1, "messages an hour", 3600.0),
        (limits.recipients_per_hour, usage.hour_recipients, recipients, "recipients an hour", 3600.0),
        (limits.messages_per_day, usage.day_messages, 1, "messages a day", 86_400.0),
        (limits.recipients_per_day, usage.day_recipients, recipients, "recipients a day", 86_400.0),
    )
    for limit, used, more, what, span in rows:
        if limit > 0 and used + more > limit:
            text = f"This account has reached its limit of {limit} {what}"
            return Refusal(f"{text}; try again later, or ask the administrator for more", span / 4)
    return None


def messages_left(limits: SendingLimits, usage: Usage) -> int:
    """How many more messages of one recipient the account may send before `check_sending` is to be asked again."""
    rows = (
        (limits.messages_per_hour, usage.hour_messages),
        (limits.recipients_per_hour, usage.hour_recipients),
        (limits.messages_per_day, usage.day_messages),
        (limits.recipients_per_day, usage.day_recipients),
    )
    return min((limit - used for limit, used in rows if limit > 0), default=UNLIMITED)


def check_breaker(limits: BreakerLimits, usage: Usage) -> str | None:
    """The reason to hold the account's mail, or None."""
    usual = usage.past_strangers / usage.past_hours if usage.past_hours else 0.0
    allowed = max(float(limits.strangers_per_hour), usual * limits.strangers_factor)
    if limits.strangers_per_hour > 0 and usage.hour_strangers > allowed:
        return (
            f"{usage.hour_strangers} recipients within an hour to whom this account never wrote before "
            f"(usual: {usual:.1f})"
        )
    ended = usage.hour_failed + usage.hour_delivered
    too_many = limits.failures_per_hour > 0 and usage.hour_failed > limits.failures_per_hour
    if too_many and usage.hour_failed >= limits.failures_share * ended:
        return f"{usage.hour_failed} of {ended} recipients refused for good within an hour"
    return None
