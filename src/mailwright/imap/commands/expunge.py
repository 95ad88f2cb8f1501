"""EXPUNGE and UID EXPUNGE (RFC 3501 6.4.3, RFC 4315 2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap.connection import Command
from mailwright.imap.news import find_messages
from mailwright.imap.progress import limited, patiently, with_limit
from mailwright.imap.reply import Reply
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.syntax.sequence import SequenceSet, parse_sequence_set
from mailwright.imap.view import Key
from mailwright.store.db.api import FEW, Transaction
from mailwright.store.mailboxes import get_mailbox
from mailwright.store.messages import expunge

if TYPE_CHECKING:
    from mailwright.imap.session import Session


def parse_uid(lexer: Lexer) -> SequenceSet:
    lexer.space()
    return parse_sequence_set(lexer)


async def run(session: Session, command: Command) -> Reply:
    selected = session.writable_mailbox("e")
    uids: list[int] | None = None
    limit = ""
    if command.uid:
        runs, limit = limited(session, await find_messages(session, command.args, uid=True))
        uids = [uid for run in runs for uid in run.uids]
    store = session.service.store
    write = store.write_briefly if uids is not None and len(uids) <= FEW else store.write
    work = write(expunge_deleted, selected.key, uids)
    modseq = await patiently(session, command.tag, selected.view.count, work)
    # The EXPUNGE responses are the news that every command ends with.
    told = modseq and "CONDSTORE" in session.enabled
    reply = Reply("EXPUNGE completed", f"HIGHESTMODSEQ {modseq}" if told else "")  # RFC 7162 3.2.7
    return with_limit(session, reply, limit)


def expunge_deleted(tx: Transaction, key: Key, uids: list[int] | None) -> int:
    r"""Remove those of the messages (None: all) that are \Deleted; the mailbox's mod-sequence when any went, else 0."""
    return get_mailbox(tx, *key).modseq if expunge(tx, *key, uids, only_deleted=True) else 0
