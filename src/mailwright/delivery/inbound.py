"""The named steps that a message passes once its data has come. Each may refuse it; the rest see it unchanged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mailwright.delivery.submission import header_fields
from mailwright.smtp import replies
from mailwright.smtp.api import Envelope, SessionInfo
from mailwright.smtp.replies import Reply


@dataclass(frozen=True)
class Arrival:
    """A message on its way in, as the steps see it."""

    info: SessionInfo
    envelope: Envelope
    header: bytes  # the header section with its empty line; b'' when it is too long or has no end
    size: int


Check = Callable[[Arrival], Reply | None]


@dataclass(frozen=True)
class Step:
    """A check and the name under which its verdict is told."""

    name: str
    check: Check


def count_received(header: bytes) -> int:
    """How many Received fields a header section has."""
    return sum(1 for field in header_fields(header) if field.name == b"received")


def loop_step(limit: int) -> Step:
    """Refuses a message that passed more than `limit` servers (RFC 5321 6.3 asks for 100 at least)."""

    def check(arrival: Arrival) -> Reply | None:
        return replies.MAIL_LOOP if count_received(arrival.header) > limit else None

    return Step("loop", check)


def run_steps(steps: Sequence[Step], arrival: Arrival) -> tuple[str, Reply] | None:
    """The first refusal and the name of its step; None when all let the message pass."""
    for step in steps:
        refusal = step.check(arrival)
        if refusal is not None:
            return step.name, refusal
    return None
