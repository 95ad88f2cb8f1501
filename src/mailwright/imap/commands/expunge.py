"""EXPUNGE and UID EXPUNGE (RFC 3501 6.4.3, RFC 4315 2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap.connection import Command
from mailwright.imap.news import find_messages
from mailwright.imap.reply import Reply
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.syntax.sequence import SequenceSet, parse_sequence_set
from mailwright.store.messages import expunge

if TYPE_CHECKING:
    from mailwright.imap.session import Session


def parse_uid(lexer: Lexer) -> SequenceSet:
    lexer.space()
    return parse_sequence_set(lexer)


async def run(session: Session, command: Command) -> Reply:
    selected = session.writable_mailbox("e")
    uids: list[int] | None = None
    if command.uid:
        uids = [uid for run in await find_messages(session, command.args, uid=True) for uid in run.uids]
    await session.service.store.write(expunge, *selected.key, uids, only_deleted=True)
    # The EXPUNGE responses are the news that every command ends with.
    return Reply("EXPUNGE completed")
