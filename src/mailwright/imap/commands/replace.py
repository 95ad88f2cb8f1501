"""REPLACE and UID REPLACE (RFC 8508): a new message comes and the old one goes, or neither."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap.commands.append import add_all, find_target, no_target
from mailwright.imap.connection import Command
from mailwright.imap.news import find_messages
from mailwright.imap.receive import Prepared, receive_messages
from mailwright.imap.reply import Refused, Reply
from mailwright.imap.syntax.append import AppendArgs
from mailwright.imap.view import Key
from mailwright.store.db.api import Transaction
from mailwright.store.errors import NoSuchMailbox, NoSuchMessage
from mailwright.store.messages import expunge
from mailwright.store.model import Added

if TYPE_CHECKING:
    from mailwright.imap.session import Session


async def run(session: Session, command: Command) -> Reply:
    args: AppendArgs = command.args
    assert args.replaced is not None
    store = session.service.store
    selected = session.writable_mailbox("te")
    runs = await find_messages(session, args.replaced, command.uid)
    if not runs:
        raise Refused("There is no such message to replace", "NONEXISTENT")
    uid = runs[0].uids[0]
    try:
        target = await store.read(find_target, session.account_id, args.mailbox)
        ready = await receive_messages(session, args.message, most=1)
        added = await store.write(
            replace, session.account_id, selected.key, uid, args.mailbox, ready, session.service.now()
        )
    except NoSuchMailbox:
        raise await no_target(session, args.mailbox) from None
    session.note_own(target.account, added.modseq)
    # RFC 8508 4.3: before the EXPUNGE response, so that the client loses sight of neither.
    code = f"APPENDUID {added.uidvalidity} {added.uid}"
    session.write(session.untagged("OK", "The replacement is kept", code))
    return Reply("REPLACE completed")


def replace(
    tx: Transaction, account: int, source: Key, uid: int, mailbox: str, ready: list[Prepared], now: int
) -> Added:
    """Expunge one message and add another; first the one, so that the quota need not hold both.

    Raises NoSuchMessage, NoSuchMailbox, NoRight, OverQuota.
    """
    if not expunge(tx, *source, [uid]):
        raise NoSuchMessage("the message to be replaced is gone")
    return add_all(tx, account, mailbox, ready, now)[0]
