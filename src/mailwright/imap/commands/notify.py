"""NOTIFY (RFC 5465)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.syntax.multisearch import Source
from mailwright.imap.syntax.notify import Group, NotifyArgs, parse_notify
from mailwright.imap.watch import Watch, read_start, status_of

if TYPE_CHECKING:
    from mailwright.imap.session import Session

_NONE = (Group(Source("SELECTED-DELAYED"), frozenset()),)


def parse(lexer: Lexer) -> NotifyArgs:
    lexer.space()
    return parse_notify(lexer)


async def run(session: Session, command: Command) -> Reply:
    args: NotifyArgs = command.args
    modseq, boxes = await session.service.store.read(read_start, session.account_id)
    watch = session.watching = Watch(_NONE if args.groups is None else args.groups, modseq, boxes)
    if args.status:
        here = session.selected.key if session.selected is not None else (0, 0)
        for box in boxes:
            events = watch.events_for(watch.known[box.id])
            if "MESSAGENEW" in events and here != (session.account_id, box.id):
                session.write(status_of(session, box, events))
    return Reply("NOTIFY completed")
