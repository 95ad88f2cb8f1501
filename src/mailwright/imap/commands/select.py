"""SELECT and EXAMINE (RFC 3501 6.3.1, 6.3.2, RFC 7162 3.1.8, 3.2.5)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from mailwright.imap import responses
from mailwright.imap.commands.fetch import send_changed
from mailwright.imap.connection import Command
from mailwright.imap.journal import Box, FirstUnseen
from mailwright.imap.languages import DEFAULT, translate
from mailwright.imap.news import claim_recent, load_from_uid, usable_flags
from mailwright.imap.reply import Bad, Refused, Reply
from mailwright.imap.resync import Since, read_resync
from mailwright.imap.selected import Selected
from mailwright.imap.service import Service
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.syntax.objects import mailbox_id
from mailwright.imap.syntax.select import Resync, SelectArgs, parse_select
from mailwright.imap.tree import read_attributes
from mailwright.imap.urlauth import MECHANISM
from mailwright.imap.view import View
from mailwright.store import acl, changes, reading
from mailwright.store.acl import Access
from mailwright.store.db.api import Transaction
from mailwright.store.errors import StoreError
from mailwright.store.model import Mailbox

if TYPE_CHECKING:
    from mailwright.imap.session import Session

_LOOKED_AT = 2000  # messages at the end, for the first unseen one and keywords


def parse(lexer: Lexer) -> SelectArgs:
    lexer.space()
    return parse_select(lexer)


class Opened(NamedTuple):
    """What is known at once. `unseen` is the first such message, if it had to be looked for."""

    access: Access
    modseq: int  # the owner's account's
    first_recent: int
    recent: Sequence[int]
    unseen: FirstUnseen | None
    keywords: set[str]  # texts of keywords of the newest messages
    since: Since | None


def open_mailbox(tx: Transaction, account: int, name: str, service: Service, resync: Resync | None) -> Opened:
    """Raises NoSuchMailbox, NoRight."""
    access = acl.resolve(tx, account, name)
    access.need("r")
    mailbox = access.mailbox
    key = (access.account, mailbox.id)
    keywords = service.keywords
    first = service.recents.find_first(tx, key, mailbox.uidnext)
    recent = reading.read_uids(tx, *key, first) if first < mailbox.uidnext else []
    met = set() if key in keywords else reading.read_newest_keywords(tx, *key, _LOOKED_AT)
    since = None if resync is None else read_resync(tx, access.account, mailbox, resync)
    modseq = changes.read_modseq(tx, access.account)
    return Opened(access, modseq, first, recent, find_first_unseen(tx, access.account, mailbox), met, since)


def find_first_unseen(tx: Transaction, account: int, mailbox: Mailbox) -> FirstUnseen | None:
    """The first unseen message; None when it need not be looked for, or there are too many."""
    if not _must_look(mailbox):
        return None
    uid, place = reading.find_unseen(tx, account, mailbox.id, mailbox.unseen, _LOOKED_AT)
    return FirstUnseen(uid, mailbox.messages - place + 1 if place else 0)


def _must_look(mailbox: Mailbox) -> bool:
    """Whether the first unseen message is to be looked for, and may be found among the newest."""
    return 0 < mailbox.unseen <= _LOOKED_AT and mailbox.unseen < mailbox.messages


def _unseen_number(opened: Opened) -> int:
    """The sequence number of the first unseen message; 0: there is none, or it lies before the newest."""
    mailbox = opened.access.mailbox
    if opened.unseen is not None:
        return opened.unseen.number
    return 1 if mailbox.unseen == mailbox.messages > 0 else 0


async def run(session: Session, command: Command) -> Reply:
    args: SelectArgs = command.args
    if args.resync is not None and "QRESYNC" not in session.enabled:
        raise Bad("ENABLE QRESYNC comes first")
    if args.resync is not None and args.resync.matches and "UIDONLY" in session.enabled:
        raise Bad("Sequence numbers are not used any more", "UIDREQUIRED")
    if session.selected is not None:
        # RFC 3501 6.3.1: the old mailbox is left even when the new one cannot be opened.
        session.selected = None
        session.write(
            _untagged(session.language, session.utf8, "The mailbox before this is closed", "CLOSED")
        )
    if args.refusal:
        raise Refused(args.refusal, "CANNOT")
    opened = await _open(session, args)
    listing = await _listing(session, args.mailbox, opened.access.name) if session.rev2 else b""
    if args.condstore:
        session.enabled |= {"CONDSTORE"}
    read_only = command.name == "EXAMINE"
    selected = _select(session, opened, read_only)
    session.write(_describe(session, selected, opened) + listing)
    if opened.since is not None:
        try:
            await _resync(session, selected, opened.since)
        except StoreError:
            session.selected = None  # RFC 3501 6.3.1: whoever gets NO has nothing selected
            raise
    # RFC 4314 5.2
    fixed = read_only or not any(right in opened.access.rights for right in "iewst")
    return Reply(f"{command.name} completed", "READ-ONLY" if fixed else "READ-WRITE")


def _describe(session: Session, selected: Selected, opened: Opened) -> bytes:
    """The untagged responses of RFC 3501 6.3.1 and of extensions."""
    mailbox, output = opened.access.mailbox, usable_flags(selected)
    output += responses.exists(mailbox.messages)
    if not session.rev2:
        output += responses.recent(selected.recent_count)
        first = _unseen_number(opened)
        if first and "UIDONLY" not in session.enabled:
            unseen = _untagged(session.language, session.utf8, "The first unseen message", "UNSEEN %d")
            output += unseen % first
    name = mailbox_id(opened.access.account, mailbox.id).encode("ascii")
    numbers = (mailbox.uidvalidity, mailbox.uidnext, name, mailbox.modseq)
    return output + _numbers_template(session.language, session.utf8) % numbers


async def _listing(session: Session, asked: str, name: str) -> bytes:
    """The LIST response of RFC 9051 6.3.2, with the name that the client gave where it is called otherwise."""
    attributes = await session.service.store.read_briefly(read_attributes, session.account_id, name)
    return responses.listing(name, attributes, utf8=True, old_name="" if asked == name else asked)


@lru_cache(maxsize=8)
def _numbers_template(language: str, utf8: bool) -> bytes:
    """What each SELECT says of UIDVALIDITY, UIDNEXT, MAILBOXID and HIGHESTMODSEQ, which go into it."""
    lines = (
        ("UIDs are valid", "UIDVALIDITY %d"),
        ("The next UID", "UIDNEXT %d"),
        ("How URLs are signed", f"URLMECH {MECHANISM}"),
        ("The mailbox", "MAILBOXID (%b)"),
        ("The highest mod-sequence", "HIGHESTMODSEQ %d"),
    )
    return b"".join([_untagged(language, utf8, text, code) for text, code in lines])


@lru_cache(maxsize=64)
def _untagged(language: str, utf8: bool, text: str, code: str) -> bytes:
    """An OK of each SELECT in a language, into which numbers may have to go."""
    return responses.untagged("OK", translate(text, language), code, utf8 or language != DEFAULT)


async def _open(session: Session, args: SelectArgs) -> Opened:
    """Open the mailbox, from memory if it can be; from before that on we hear of its changes."""
    service, account, name = session.service, session.account_id, args.mailbox
    if acl.is_shared(name):
        owner, _ = await service.store.read_briefly(acl.locate, account, name)
        session.watch(owner)
        return await service.store.read(open_mailbox, account, name, service, args.resync)
    session.watch(account)
    box = await service.journal.box(account, name) if args.resync is None else None
    opened = None if box is None else _recall(service, box)
    if opened is None:
        read = service.store.read_briefly if args.resync is None else service.store.read
        opened = await read(open_mailbox, account, name, service, args.resync)
        service.journal.keep(name, Box(opened.access, opened.modseq, opened.unseen))
    return opened


def _recall(service: Service, box: Box) -> Opened | None:
    """As `open_mailbox`; None when the store must be asked."""
    access = box.access
    mailbox, key = access.mailbox, (access.account, access.mailbox.id)
    if key not in service.keywords or not service.recents.all_claimed(key, mailbox.uidnext):
        return None
    if _must_look(mailbox) and box.unseen is None:
        return None
    unseen = box.unseen if _must_look(mailbox) else None
    return Opened(access, box.modseq, mailbox.uidnext, [], unseen, set(), None)


async def _resync(session: Session, selected: Selected, since: Since) -> None:
    """Tell a returning client what it missed (RFC 7162 3.2.5)."""
    session.write(responses.vanished(since.vanished, earlier=True))
    if since.changed:
        await load_from_uid(session, since.changed[0][0])
        await send_changed(session, selected, selected.view.runs_of_uids(since.changed))
        session.showed_newest()  # EXISTS counted what is gone by now: SELECT tells that too, so the cache is whole


def _select(session: Session, opened: Opened, read_only: bool) -> Selected:
    service = session.service
    access = opened.access
    mailbox = access.mailbox
    key = (access.account, mailbox.id)
    view = View(key, service.pool, mailbox.messages, mailbox.uidnext, opened.modseq)
    selected = session.selected = Selected(mailbox, view, read_only, access.rights)
    selected.keywords = service.keywords.add(key, opened.keywords)
    service.recents.start(key, opened.first_recent)
    first = claim_recent(session, selected)
    selected.recent_count = sum(1 for uid in opened.recent if uid >= first)
    return selected
