"""ESEARCH: one search in several mailboxes (RFC 7377)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from mailwright.imap import responses
from mailwright.imap.connection import Command
from mailwright.imap.reply import Bad, Reply
from mailwright.imap.search.answer import ALL, check_charset, save, search
from mailwright.imap.search.context import refusal
from mailwright.imap.search.find import Found, run_plan
from mailwright.imap.search.program import make_plan, message_sets, prepare
from mailwright.imap.syntax import search as keys
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.syntax.multisearch import MultisearchArgs, Source, parse_multisearch
from mailwright.imap.syntax.sequence import Range
from mailwright.imap.view import Key
from mailwright.store import acl
from mailwright.store.db.api import Transaction
from mailwright.store.mailboxes import list_mailboxes, list_subscriptions
from mailwright.store.model import Mailbox

if TYPE_CHECKING:
    from mailwright.imap.session import Session


class Target(NamedTuple):
    """A mailbox to be searched, by the name that the client knows."""

    key: Key
    name: str
    mailbox: Mailbox


def parse(lexer: Lexer) -> MultisearchArgs:
    lexer.space()
    return parse_multisearch(lexer)


async def run(session: Session, command: Command) -> Reply:
    args: MultisearchArgs = command.args
    selected = session.open_mailbox() if session.selected is not None else None
    kinds = {source.kind for source in args.sources}
    returns = args.search.returns
    updating = returns is not None and "UPDATE" in returns.names
    if selected is None and ("SELECTED" in kinds or updating):
        raise Bad("No mailbox is selected")  # RFC 7377 2.2
    check_charset(session, args.search)
    if kinds != {"SELECTED"}:
        _check(args.search)
    targets = await session.service.store.read(find_targets, session.account_id, args.sources)
    others = [target for target in targets if selected is None or target.key != selected.key]
    if selected is not None and ("SELECTED" in kinds or len(others) < len(targets)):
        found = await search(session, selected, command, args.search)
        if returns is not None and "SAVE" in returns.names:
            save(selected, found.uids, returns)
        name = await session.service.store.read(acl.name_of, session.account_id, *selected.key)
        _write(session, command, found, name, selected.uidvalidity)
    for target in others:
        found = await _find(session, command, target)
        _write(session, command, found, target.name, target.mailbox.uidvalidity)
        await session.drain()
    if updating:
        session.write(refusal(command.tag, "Results of several mailboxes are not kept up to date"))
    return Reply("ESEARCH completed")


def _check(args: keys.SearchArgs) -> None:
    """What makes sense in the selected mailbox only (RFC 7377 2.2)."""
    if args.returns is not None and "SAVE" in args.returns.names:
        raise Bad("SAVE is for the selected mailbox alone")
    for one in message_sets(args.key):
        if isinstance(one, keys.Messages) or one.numbers.saved:
            raise Bad("Message numbers are for the selected mailbox alone; use UID")


def _write(session: Session, command: Command, found: Found, name: str, uidvalidity: int) -> None:
    """RFC 7377 2.1: a mailbox where nothing is found is passed over."""
    returns = command.args.search.returns or ALL
    if not found.uids or (returns.names == {"SAVE"} and returns.partial is None):
        return
    values = responses.search_return(found.uids, returns.names, found.modseq, returns.partial)
    source = b" MAILBOX %b UIDVALIDITY %d" % (responses.mailbox(name, session.utf8), uidvalidity)
    session.write(responses.esearch(command.tag, True, values, source))


async def _find(session: Session, command: Command, target: Target) -> Found:
    args: keys.SearchArgs = command.args.search
    store = session.service.store
    last = await store.read(read_last_uid, target.key)
    resolved: dict[keys.Key, list[Range]] = {
        one: one.numbers.resolve(last) for one in message_sets(args.key) if isinstance(one, keys.Uids)
    }
    plan = make_plan(prepare(args.key, resolved), last, session.service.now(), (), args.uses_modseq)
    return await run_plan(session, target.key, plan, target.mailbox.messages, command.tag)


def read_last_uid(tx: Transaction, key: Key) -> int:
    """The highest UID in use, 0 in an empty mailbox."""
    row = tx.one("SELECT max(uid) FROM places WHERE account = ? AND mailbox = ?", *key)
    return int(row[0] or 0) if row is not None else 0


def find_targets(tx: Transaction, account: int, sources: tuple[Source, ...]) -> list[Target]:
    """The mailboxes that are meant and may be read, each once; names of none are passed over (RFC 7377 2.2)."""
    if all(source.kind == "SELECTED" for source in sources):
        return []
    own = {box.name: Target((account, box.id), box.name, box) for box in list_mailboxes(tx, account)}
    known = own | {
        access.name: Target((access.account, access.mailbox.id), access.name, access.mailbox)
        for access in acl.list_shared(tx, account)
        if "r" in access.rights
    }
    found: dict[str, Target] = {}
    for source in sources:
        names = _names(tx, account, source, own, known)
        found |= {name: known[name] for name in names if name in known}
    return list(found.values())


def _names(
    tx: Transaction, account: int, source: Source, own: dict[str, Target], known: dict[str, Target]
) -> Iterable[str]:
    if source.kind == "PERSONAL":
        return own
    if source.kind == "INBOXES":
        return [name for name, target in own.items() if target.mailbox.role == "inbox" or name == "INBOX"]
    if source.kind == "SUBSCRIBED":
        return list_subscriptions(tx, account)
    if source.kind == "MAILBOXES":
        return source.names
    deep = source.kind == "SUBTREE"
    return [name for name in known if any(_is_below(name, top, deep) for top in source.names)]


def _is_below(name: str, top: str, deep: bool) -> bool:
    """Whether a name is `top` or lies below it, one level or (`deep`) any number."""
    if name == top or not name.startswith(top + "/"):
        return name == top
    return deep or "/" not in name[len(top) + 1 :]
