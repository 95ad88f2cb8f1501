"""All that a client is told without having asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from mailwright.imap.news import tell_news
from mailwright.imap.search.context import tell_contexts
from mailwright.imap.watch import tell_watched
from mailwright.store.errors import TemporaryFailure

if TYPE_CHECKING:
    from mailwright.imap.session import Session

_AGAIN: Final = 2.0  # seconds until the store is asked again for what it could not tell a client that waits


async def tell(session: Session, *, expunge: bool, read: bool = False, always: bool = False) -> None:
    """Tell of the selected mailbox, of results that are kept up to date, and of other mailboxes.

    EXPUNGE only with `expunge`. `read` asks the store even when no notification came, `always` tells also what NOTIFY
    did not ask for.
    """
    watch = session.watching
    if session.selected is not None and (always or watch is None or not watch.quiet):
        flags = always or watch is None or watch.tells_flags
        await tell_news(session, expunge=expunge, flags=flags, read=read)
        if session.selected.contexts:
            await tell_contexts(session)
    if watch is not None:
        await tell_watched(session)


async def tell_idle(session: Session, *, read: bool) -> bool:
    """Tell a client that idles; whether to `read` the next time, as the store could not be asked now."""
    try:
        await tell(session, expunge=True, read=read)
    except TemporaryFailure:
        _come_back(session)
        return read
    return False


async def tell_at_once(session: Session) -> None:
    """Tell a client that waits in no command, as NOTIFY asked for."""
    try:
        await _tell_at_once(session)
    except TemporaryFailure:
        _come_back(session)


def _come_back(session: Session) -> None:
    asyncio.get_running_loop().call_later(_AGAIN, session.stream.wake)


async def _tell_at_once(session: Session) -> None:
    watch = session.watching
    if watch is None or not watch.asked:
        return
    if not watch.quiet and session.selected is not None:
        expunge = watch.immediate and not session.connection.pending_command()
        await tell_news(session, expunge=expunge, flags=watch.tells_flags)
        await tell_contexts(session)
    await tell_watched(session)
