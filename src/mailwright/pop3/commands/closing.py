"""NOOP and QUIT."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mailwright.pop3 import responses
from mailwright.pop3.commands.row import State
from mailwright.pop3.maildrop import remove
from mailwright.pop3.syntax import Command
from mailwright.store.errors import StoreError

if TYPE_CHECKING:
    from mailwright.pop3.session import Pop3Session

log = logging.getLogger(__name__)


async def noop(session: Pop3Session, command: Command) -> bytes:
    return responses.NOOP


async def quit_(session: Pop3Session, command: Command) -> bytes:
    """The UPDATE state (RFC 1939 6): what is marked goes, all or nothing."""
    session.closing = True
    if session.state == State.AUTHORIZATION:
        return responses.GOODBYE
    maildrop = session.maildrop
    uids = maildrop.deleted_uids()
    try:
        removed = 0
        if uids:
            removed = await session.services.store.write(remove, maildrop.account, maildrop.mailbox, uids)
    except StoreError as error:
        log.warning("%s: nothing was removed: %s", session.stream.peer, error)
        return responses.NOT_REMOVED
    finally:
        # Before the reply: the client may come again at once.
        await session.release()
    session.removed = removed
    return responses.goodbye(len(uids))
