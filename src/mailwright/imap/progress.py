"""What keeps a client calm, and us in bounds, when a command works on many messages (RFC 9585, RFC 9738)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final, TypeVar

from mailwright.imap.reply import Refused, Reply
from mailwright.imap.view import Run, window_of_runs

if TYPE_CHECKING:
    from mailwright.imap.session import Session

T = TypeVar("T")
EVERY: Final = 10.0  # seconds of silence after which the client hears that we are at it
_MANY: Final = 1000  # messages on which work may take that long


async def patiently(session: Session, tag: str, count: int, work: Awaitable[T], every: float = EVERY) -> T:
    """Wait for work on `count` messages; tell the client from time to time that it goes on (RFC 9585 3)."""
    if count < _MANY:
        return await work
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=every))[0]:
            session.write(session.untagged("OK", "Still at it", f'INPROGRESS ("{tag}" NIL NIL)'))
            await session.drain()
        return await task
    finally:
        task.cancel()


def limited(session: Session, runs: list[Run]) -> tuple[list[Run], str]:
    """Those of the messages that one command may work on, the newest, and the response code when that is not all."""
    limit = session.service.limits.imap_messages
    if not limit or count_of(runs) <= limit:
        return runs, ""
    runs = window_of_runs(runs, (-1, -limit))
    return runs, f"MESSAGELIMIT {limit} {runs[0].uids[0]}"


def highest_first(runs: list[Run]) -> list[Run]:
    """The messages one by one from the highest UID down, as they are told when not all are (RFC 9738 3.1)."""
    singles = [Run(run.number + n, run.uids[n : n + 1]) for run in runs for n in range(len(run.uids))]
    return singles[::-1]


def check_limit(session: Session, count: int, lowest: int = 0) -> None:
    """For commands that do all or nothing; `lowest`: how far down they may reach, at once. Raises Refused."""
    limit = session.service.limits.imap_messages
    if limit and count > limit:
        code = f"MESSAGELIMIT {limit} {lowest}" if lowest else f"MESSAGELIMIT {limit}"
        raise Refused(f"At most {limit} messages in one command; do it in parts", code)


def with_limit(session: Session, reply: Reply, limit: str) -> Reply:
    """The reply with what `limited` said; in a response of its own when the reply has another code (RFC 9738 3.1)."""
    if limit and reply.code:
        session.write(session.untagged("NO", "Only the newest messages were worked on", limit))
        return reply
    return Reply(reply.text, limit, reply.condition) if limit else reply


def count_of(runs: list[Run]) -> int:
    return sum([len(run.uids) for run in runs])
