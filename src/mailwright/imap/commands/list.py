"""LIST and LSUB (RFC 3501 6.3.8, 6.3.9, RFC 5258, RFC 5819, RFC 6154, RFC 8440, RFC 9590)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from mailwright.imap import responses
from mailwright.imap.commands.status import read_counts, status_line
from mailwright.imap.connection import Command
from mailwright.imap.reply import Reply
from mailwright.imap.selected import Selected
from mailwright.imap.service import Service
from mailwright.imap.syntax.acl import format_rights
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.syntax.mailbox import (
    ListArgs,
    compile_pattern,
    parse_list,
    parse_lsub,
)
from mailwright.imap.tree import Tree, names_above, read_tree, special_use
from mailwright.store import acl, metadata
from mailwright.store.acl import RIGHTS, Access
from mailwright.store.db.api import Transaction

if TYPE_CHECKING:
    from mailwright.imap.session import Session

_WILDCARD: Final = re.compile("[*%]")
_BELOW_INBOX: Final = "INBOX/"


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
        service, selected = session.service, session.selected
        session.write(await service.store.read(read, session.account_id, args, service, selected))
    return Reply(f"{command.name} completed")


def list_response(
    tx: Transaction, account: int, args: ListArgs, service: Service, selected: Selected | None = None
) -> bytes:
    """All LIST responses, each followed by its STATUS when that was asked for."""
    tree = _read(tx, account, args, all_names="SUBSCRIBED" in args.selection)
    chosen = _chosen(tree, args.selection)
    matches = _matcher(args)
    recursive = "RECURSIVEMATCH" in args.selection
    above = names_above(chosen) if recursive else set()
    # RFC 5258 3.1: a level that is not itself chosen is shown only for what is chosen below it and not shown.
    levels = names_above({name for name in chosen if not matches(name)}) if recursive else set()
    info = sorted(args.selection & {"SUBSCRIBED", "SPECIAL-USE"})
    subscribed = "SUBSCRIBED" in (args.returns | args.selection)
    missing = "\\NonExistent" if args.extended else "\\Noselect"
    detailed = args.status or args.metadata or "MYRIGHTS" in args.returns
    output = []
    for name in tree.names:
        if (name not in chosen and name not in levels) or not matches(name):
            continue
        mailbox, shared = tree.mailboxes.get(name), tree.shared.get(name)
        attributes = tree.attributes(name, missing=missing, subscribed=subscribed)
        if args.status and shared is not None and "r" not in shared.rights:
            attributes.append("\\Noselect")  # RFC 5819 2
        children = info if name in above else ()
        output.append(responses.listing(name, attributes, "LIST", children, utf8=args.utf8))
        # RFC 5819 3: of a level that is only shown for what is below it nothing more is told.
        if detailed and mailbox is not None and name in chosen:
            access = shared or Access(account, mailbox, RIGHTS, name)
            if selected is not None:
                access = selected.as_known(access)
            output.append(_details(tx, account, access, args, service))
    return b"".join(output)


def _details(tx: Transaction, account: int, access: Access, args: ListArgs, service: Service) -> bytes:
    """What follows the LIST response of a mailbox, as far as we may know it."""
    output = b""
    if args.status and "r" in access.rights:
        counts = read_counts(tx, service, access, args.status)
        output += status_line(service, access, args.status, counts, args.utf8)
    if "MYRIGHTS" in args.returns:
        output += responses.my_rights(access.name, format_rights(access.rights), args.utf8)
    if args.metadata and metadata.may_read(access):
        found = metadata.read_all(tx, account, access, args.metadata).found
        output += responses.metadata(access.name, found, args.utf8)
    return output


def lsub_response(
    tx: Transaction, account: int, args: ListArgs, service: Service, selected: Selected | None = None
) -> bytes:
    """All LSUB responses."""
    tree = _read(tx, account, args, all_names=True)
    above = names_above(tree.subscribed)
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


def _read(tx: Transaction, account: int, args: ListArgs, all_names: bool) -> Tree:
    wanted = "SUBSCRIBED" in args.returns
    return read_tree(tx, account, shared=_reaches_shared(args), subscriptions=wanted, all_names=all_names)


def _reaches_shared(args: ListArgs) -> bool:
    """Whether a pattern can match the name of a mailbox that others own, or of a level above one."""
    for pattern in args.patterns:
        start = _WILDCARD.split(args.reference + pattern, maxsplit=1)[0]
        if any(start.startswith(top) or top.startswith(start) for top in (acl.OTHER_USERS, acl.PUBLIC)):
            return True
    return False


def _chosen(tree: Tree, selection: frozenset[str]) -> set[str]:
    """The names that meet the selection options."""
    chosen = set(tree.subscribed) if "SUBSCRIBED" in selection else tree.mailboxes.keys() | tree.parents
    if "SPECIAL-USE" in selection:
        chosen = {name for name in chosen if name in tree.mailboxes and special_use(tree.mailboxes[name])}
    return chosen


class _Matcher:
    __slots__ = ("_below", "_inbox", "_patterns")

    def __init__(self, texts: list[str]) -> None:
        self._patterns = [compile_pattern(text) for text in texts]
        # What is below INBOX too: 'Inbox*'. A name such as 'Inboxes' is another one.
        self._below = [
            compile_pattern("INBOX" + text[5:]) for text in texts if text[:5].casefold() == "inbox"
        ]
        # INBOX in any case, also where a wildcard cuts it: 'inb%'.
        self._inbox = any(
            re.compile(pattern.pattern, re.I | re.S).fullmatch("INBOX") for pattern in self._patterns
        )

    def __call__(self, name: str) -> bool:
        if name == "INBOX":
            return self._inbox
        patterns = [*self._patterns, *self._below] if name.startswith(_BELOW_INBOX) else self._patterns
        return any(pattern.fullmatch(name) for pattern in patterns)


def _matcher(args: ListArgs) -> _Matcher:
    return _Matcher([args.reference + pattern for pattern in args.patterns if pattern])
