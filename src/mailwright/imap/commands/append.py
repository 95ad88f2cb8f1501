"""APPEND, of several messages and in parts too (RFC 3501 6.3.11, RFC 3502, RFC 4315 3, RFC 4469)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mailwright.imap.connection import Command
from mailwright.imap.receive import Prepared, receive_messages
from mailwright.imap.reply import Refused, Reply
from mailwright.imap.syntax.append import AppendArgs
from mailwright.imap.syntax.lexer import BadSyntax, Lexer
from mailwright.imap.syntax.sequence import format_set
from mailwright.store import acl
from mailwright.store.acl import Access
from mailwright.store.arrivals import Arrival
from mailwright.store.arrivals import add_all as add_arrivals
from mailwright.store.db.api import Transaction
from mailwright.store.errors import NoSuchMailbox
from mailwright.store.model import Added

if TYPE_CHECKING:
    from mailwright.imap.session import Session


_FEW: Final = 4  # messages that are added briefly


def parse(lexer: Lexer) -> None:
    """Never called: the connection itself takes APPEND and REPLACE apart at their literals."""
    raise BadSyntax("APPEND needs a mailbox and a message literal")


async def run(session: Session, command: Command) -> Reply:
    args: AppendArgs = command.args
    store = session.service.store
    try:
        target = await store.read_briefly(find_target, session.account_id, args.mailbox)
        ready = await receive_messages(session, args.message)
        write = store.write_briefly if len(ready) <= _FEW else store.write
        added = await write(add_all, session.account_id, args.mailbox, ready, session.service.now())
    except NoSuchMailbox:
        raise await no_target(session, args.mailbox) from None
    for one in added:
        session.note_own(target.account, one.modseq)
    uids = format_set(one.uid for one in added)
    return Reply("APPEND completed", f"APPENDUID {added[0].uidvalidity} {uids}")


def find_target(tx: Transaction, account: int, name: str) -> Access:
    """Where messages may be put. Raises NoSuchMailbox, NoRight."""
    access = acl.resolve(tx, account, name)
    access.need("i")
    return access


async def no_target(session: Session, name: str) -> Refused:
    """What is said of a mailbox that is not there, to which something was to be put."""
    if await session.service.store.read(acl.may_create, session.account_id, name):
        return Refused("There is no such mailbox; create it first", "TRYCREATE")
    return Refused("There is no such mailbox", "NONEXISTENT")


def add_all(tx: Transaction, account: int, mailbox: str, ready: list[Prepared], now: int) -> list[Added]:
    """Add all messages, or none (RFC 3502 2), with the flags that we may set (RFC 4314 4).

    Raises NoSuchMailbox, NoRight, OverQuota.
    """
    target = find_target(tx, account, mailbox)
    permitted = acl.permitted_flags(target.rights)
    keywords = "w" in target.rights
    arrivals = [
        Arrival(
            one.message,
            one.options.flags.mask & permitted,
            " ".join(one.options.flags.keywords) if keywords else "",
            one.options.date,
        )
        for one in ready
    ]
    return add_arrivals(tx, target.account, target.mailbox.id, arrivals, now=now)
