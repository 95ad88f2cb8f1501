"""The named steps that a message passes once its data has come. Each may refuse it; the rest see it unchanged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from mailwright.delivery.reception import Verdict
from mailwright.delivery.submission import header_fields
from mailwright.smtp import replies
from mailwright.smtp.api import Envelope, SessionInfo
from mailwright.smtp.replies import Reply


class Arrival(NamedTuple):
    """A message on its way in, as the steps see it."""

    info: SessionInfo
    envelope: Envelope
    header: bytes  # the header section, see `submission.header_section`
    size: int


_SHORTEST: Final = len(b"Received:x\r\n")

Check = Callable[[Arrival], Reply | None]


class Step(NamedTuple):
    """A check and the name under which its verdict is told."""

    name: str
    check: Check


def passed_more_than(header: bytes, limit: int) -> bool:
    """Whether a header section has more than `limit` Received fields."""
    if len(header) < limit * _SHORTEST or header.count(b"\n") <= limit:
        return False  # hardly any is so long
    return sum(1 for field in header_fields(header) if field.name == b"received") > limit


def loop_step(limit: int) -> Step:
    """Refuses a message that passed more than `limit` servers (RFC 5321 6.3 asks for 100 at least)."""

    def check(arrival: Arrival) -> Reply | None:
        return replies.MAIL_LOOP if passed_more_than(arrival.header, limit) else None

    return Step("loop", check)


def run_steps(steps: Sequence[Step], arrival: Arrival) -> tuple[list[Verdict], Reply | None]:
    """The verdicts, and the first refusal; None when all let the message pass."""
    verdicts: list[Verdict] = []
    for step in steps:
        refusal = step.check(arrival)
        if refusal is not None:
            verdicts.append(Verdict(step.name, "refuse", refusal.lines[0]))
            return verdicts, refusal
        verdicts.append(Verdict(step.name, "pass"))
    return verdicts, None
