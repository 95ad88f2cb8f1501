"""NOTIFY (RFC 5465)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap import responses
from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.syntax.notify import NotifyArgs, parse_notify
from mailwright.imap.view import Key
from mailwright.imap.watch import MESSAGES, begin_watch, status_of

if TYPE_CHECKING:
    from mailwright.imap.session import Session


def parse(lexer: Lexer) -> NotifyArgs:
    lexer.space()
    return parse_notify(lexer)


async def run(session: Session, command: Command) -> Reply:
    args: NotifyArgs = command.args
    watch, start = await begin_watch(session, args.groups or ())
    for known in start.sight.known.values():
        events = watch.events_for(known)
        if known.key is None or not events:
            continue
        if not known.readable:  # RFC 5465 3.1
            shown = [*known.attributes, "\\NoAccess"]
            session.write(responses.listing(known.name, shown, utf8=session.utf8))
        elif args.status and events & MESSAGES and not _is_selected(session, known.key):
            session.write(status_of(session, start.boxes[known.key], known.name, events, at_start=True))
    return Reply("NOTIFY completed")


def _is_selected(session: Session, key: Key) -> bool:
    return session.selected is not None and session.selected.key == key
