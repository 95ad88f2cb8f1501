"""LIST and LSUB (RFC 3501 6.3.8, 6.3.9, RFC 5258, RFC 5819, RFC 6154, RFC 8440, RFC 9590)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from mailwright.imap import responses
from mailwright.imap.commands.status import status_line
from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply
from mailwright.imap.service import Service
from mailwright.imap.syntax.acl import format_rights
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.syntax.mailbox import (
    DELIMITER,
    SPECIAL_USES,
    ListArgs,
    compile_pattern,
    parse_list,
    parse_lsub,
)
from mailwright.store import acl, metadata
from mailwright.store.acl import RIGHTS, Access
from mailwright.store.db.api import Transaction
from mailwright.store.mailboxes import list_mailboxes, list_subscriptions
from mailwright.store.model import Mailbox

if TYPE_CHECKING:
    from mailwright.imap.session import Session

_WILDCARD: Final = re.compile("[*%]")


def parse(lexer: Lexer) -> ListArgs:
    lexer.space()
    return parse_list(lexer)


def parse_old(lexer: Lexer) -> ListArgs:
    lexer.space()
    return parse_lsub(lexer)


async def run(session: Session, command: Command) -> Reply:
    args: ListArgs = command.args
    read = list_response if command.name == "LIST" else lsub_response
    if args.patterns == ("",) and not args.extended:
        # RFC 3501 6.3.8: the empty name asks for the delimiter and the root of the reference.
        session.write(responses.listing("", ["\\Noselect"], command.name))
    else:
        session.write(await session.service.store.read(read, session.account_id, args, session.service))
    return Reply(f"{command.name} completed")


class _Tree(NamedTuple):
    """All names that an account sees, those of missing parents too."""

    mailboxes: dict[str, Mailbox]
    names: list[str]
    parents: set[str]  # names that have names below them
    subscribed: set[str]
    shared: dict[str, Access]  # those that others own, by name


def list_response(tx: Transaction, account: int, args: ListArgs, service: Service) -> bytes:
    """All LIST responses, each followed by its STATUS when that was asked for."""
    tree = _read_tree(tx, account, args, with_subscriptions="SUBSCRIBED" in args.selection)
    chosen = _chosen(tree, args.selection)
    above = _names_above(chosen) if "RECURSIVEMATCH" in args.selection else set()
    info = sorted(args.selection & {"SUBSCRIBED", "SPECIAL-USE"})
    matches = _matcher(args)
    output = []
    for name in tree.names:
        if (name not in chosen and name not in above) or not matches(name):
            continue
        mailbox = tree.mailboxes.get(name)
        attributes = _attributes(tree, name, args)
        children = info if name in above else ()
        output.append(responses.listing(name, attributes, "LIST", children, utf8=args.utf8))
        if mailbox is not None and (args.status or args.metadata or "MYRIGHTS" in args.returns):
            access = tree.shared.get(name) or Access(account, mailbox, RIGHTS, name)
            output.append(_details(tx, account, access, args, service))
    return b"".join(output)


def _details(tx: Transaction, account: int, access: Access, args: ListArgs, service: Service) -> bytes:
    """What follows the LIST response of a mailbox, as far as we may know it."""
    output = b""
    if args.status and "r" in access.rights:
        output += status_line(
            tx, service, access.account, access.mailbox, args.status, access.name, args.utf8
        )
    if "MYRIGHTS" in args.returns:
        output += responses.my_rights(access.name, format_rights(access.rights), args.utf8)
    if args.metadata and metadata.may_read(access):
        found = metadata.read_all(tx, account, access, args.metadata).found
        output += responses.metadata(access.name, found, args.utf8)
    return output


def lsub_response(tx: Transaction, account: int, args: ListArgs, service: Service) -> bytes:
    """All LSUB responses."""
    tree = _read_tree(tx, account, args, with_subscriptions=True)
    above = _names_above(tree.subscribed)
    matches = _matcher(args)
    wildcard = any("%" in pattern for pattern in args.patterns)
    output = []
    for name in tree.names:
        if name in tree.subscribed:
            if matches(name):
                attributes = [] if name in tree.mailboxes else ["\\Noselect"]
                output.append(responses.listing(name, attributes, "LSUB", utf8=args.utf8))
        elif wildcard and name in above and matches(name):
            # RFC 3501 6.3.9: foo/bar is subscribed, foo is not, and % does not reach foo/bar.
            output.append(responses.listing(name, ["\\Noselect"], "LSUB", utf8=args.utf8))
    return b"".join(output)


def _read_tree(tx: Transaction, account: int, args: ListArgs, with_subscriptions: bool) -> _Tree:
    mailboxes = {mailbox.name: mailbox for mailbox in list_mailboxes(tx, account)}
    subscribed = {mailbox.name for mailbox in mailboxes.values() if mailbox.subscribed}
    shared = {access.name: access for access in acl.list_shared(tx, account)} if _reaches_shared(args) else {}
    mailboxes |= {name: acl.without_role(access.mailbox, name) for name, access in shared.items()}
    if shared and "SUBSCRIBED" in args.returns:
        subscribed.update(name for name in list_subscriptions(tx, account) if name in shared)
    parents = _names_above(set(mailboxes))
    names = set(mailboxes) | parents
    if with_subscriptions:
        subscribed.update(list_subscriptions(tx, account))
        names |= subscribed | _names_above(subscribed)
    inbox_first = sorted(names, key=lambda name: (name != "INBOX", name))
    return _Tree(mailboxes, inbox_first, parents, subscribed, shared)


def _reaches_shared(args: ListArgs) -> bool:
    """Whether a pattern can match the name of a mailbox that others own, or of a level above one."""
    for pattern in args.patterns:
        start = _WILDCARD.split(args.reference + pattern, maxsplit=1)[0]
        if any(start.startswith(top) or top.startswith(start) for top in (acl.OTHER_USERS, acl.PUBLIC)):
            return True
    return False


def _names_above(names: set[str]) -> set[str]:
    above = set()
    for name in names:
        end = name.rfind(DELIMITER)
        while end > 0 and name[:end] not in above:
            above.add(name[:end])
            end = name.rfind(DELIMITER, 0, end)
    return above


def _chosen(tree: _Tree, selection: frozenset[str]) -> set[str]:
    """The names that meet the selection options."""
    chosen = set(tree.subscribed) if "SUBSCRIBED" in selection else tree.mailboxes.keys() | tree.parents
    if "SPECIAL-USE" in selection:
        chosen = {name for name in chosen if name in tree.mailboxes and _use(tree.mailboxes[name])}
    return chosen


def _attributes(tree: _Tree, name: str, args: ListArgs) -> list[str]:
    mailbox = tree.mailboxes.get(name)
    attributes = ["\\HasChildren" if name in tree.parents else "\\HasNoChildren"]
    if mailbox is None:
        attributes.insert(0, "\\NonExistent" if args.extended else "\\Noselect")
    if name in tree.subscribed and "SUBSCRIBED" in (args.returns | args.selection):
        attributes.append("\\Subscribed")
    if mailbox is not None and _use(mailbox):
        attributes.append(_use(mailbox))
    return attributes


def _use(mailbox: Mailbox) -> str:
    return SPECIAL_USES.get("\\" + mailbox.role.upper(), "") if mailbox.role else ""


class _Matcher:
    __slots__ = ("_inbox", "_patterns")

    def __init__(self, texts: list[str]) -> None:
        self._patterns = [compile_pattern(text) for text in texts]
        # INBOX in any case, also where a wildcard cuts it: 'inb%'.
        self._inbox = any(
            re.compile(pattern.pattern, re.I | re.S).fullmatch("INBOX") for pattern in self._patterns
        )

    def __call__(self, name: str) -> bool:
        if name == "INBOX":
            return self._inbox
        return any(pattern.fullmatch(name) for pattern in self._patterns)


def _matcher(args: ListArgs) -> _Matcher:
    return _Matcher([args.reference + pattern for pattern in args.patterns if pattern])
