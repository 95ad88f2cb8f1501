"""COPY and MOVE (RFC 3501 6.4.7, RFC 6851, RFC 4315 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.imap.commands.append import find_target, no_target
from mailwright.imap.connection import Command
from mailwright.imap.news import find_messages
from mailwright.imap.progress import check_limit, count_of, limited, patiently, with_limit
from mailwright.imap.reply import Reply
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.syntax.sequence import format_set
from mailwright.imap.syntax.store import CopyArgs, parse_copy
from mailwright.imap.view import Key
from mailwright.store import transfer
from mailwright.store.db.api import FEW, Transaction
from mailwright.store.errors import NoSuchMailbox
from mailwright.store.model import Copied

if TYPE_CHECKING:
    from mailwright.imap.session import Session


def parse(lexer: Lexer) -> CopyArgs:
    lexer.space()
    return parse_copy(lexer)


async def run(session: Session, command: Command) -> Reply:
    args: CopyArgs = command.args
    moving = command.name == "MOVE"
    selected = session.writable_mailbox("te") if moving else session.open_mailbox()
    runs, limit = await find_messages(session, args.numbers, command.uid), ""
    if moving:
        runs, limit = limited(session, runs)
    else:
        check_limit(session, count_of(runs), limited(session, runs)[0][0].uids[0] if runs else 0)
    uids = [uid for run in runs for uid in run.uids]
    service = session.service
    write = service.store.write_briefly if len(uids) <= FEW else service.store.write
    work = write(
        move if moving else copy, session.account_id, selected.key, uids, args.mailbox, service.now()
    )
    try:
        owner, copied = await patiently(session, command.tag, len(uids), work)
    except NoSuchMailbox:
        raise await no_target(session, args.mailbox) from None
    if not copied.uids and uids and not command.uid:
        return Reply("The messages are gone", "EXPUNGEISSUED", "NO")
    if not copied.uids:  # RFC 3501 6.4.8: a UID that is gone is no error
        return Reply(f"{command.name} completed: there was nothing to do")
    session.note_own(owner, copied.modseq)
    code = f"COPYUID {copied.uidvalidity} {format_set(copied.sources)} {format_set(copied.uids)}"
    if moving:
        # RFC 6851 4.3: COPYUID comes before the EXPUNGE responses.
        session.write(session.untagged("OK", "Moved", code))
        reached = "CONDSTORE" in session.enabled and owner == selected.key[0]
        reply = Reply("MOVE completed", f"HIGHESTMODSEQ {copied.modseq}" if reached else "")
        return with_limit(session, reply, limit)
    return Reply("COPY completed", code)


def copy(
    tx: Transaction, account: int, source: Key, uids: list[int], target: str, now: int
) -> tuple[int, Copied]:
    """Copy to a mailbox by the name that `account` calls it; whose it is, and what was copied.

    Raises NoSuchMailbox, NoRight, OverQuota.
    """
    access = find_target(tx, account, target)
    return access.account, transfer.copy(tx, *source, uids, access, now=now)


def move(
    tx: Transaction, account: int, source: Key, uids: list[int], target: str, now: int
) -> tuple[int, Copied]:
    """As `copy`, but move."""
    access = find_target(tx, account, target)
    return access.account, transfer.move(tx, *source, uids, access, now=now)
