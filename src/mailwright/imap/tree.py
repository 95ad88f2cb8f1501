"""All mailbox names that an account sees, with their attributes: what LIST shows and NOTIFY watches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from mailwright.imap.syntax.mailbox import DELIMITER, SPECIAL_USES
from mailwright.store import acl
from mailwright.store.acl import Access
from mailwright.store.db.api import Transaction
from mailwright.store.mailboxes import list_mailboxes, list_subscriptions
from mailwright.store.model import Mailbox


class Tree(NamedTuple):
    """All names, those of missing parents too, INBOX first."""

    mailboxes: dict[str, Mailbox]
    names: list[str]
    parents: set[str]  # names that have names below them
    subscribed: set[str]
    shared: dict[str, Access]  # those that others own, by name

    def attributes(self, name: str, *, missing: str = "\\NonExistent", subscribed: bool = True) -> list[str]:
        r"""The attributes of a name (RFC 5258 3.1); `missing` is that of a name that no mailbox has.

        With \Subscribed only if `subscribed`.
        """
        mailbox = self.mailboxes.get(name)
        attributes = ["\\HasChildren" if name in self.parents else "\\HasNoChildren"]
        if mailbox is None:
            attributes.insert(0, missing)
        if subscribed and name in self.subscribed:
            attributes.append("\\Subscribed")
        if mailbox is not None and special_use(mailbox):
            attributes.append(special_use(mailbox))
        return attributes


def read_tree(tx: Transaction, account: int, *, shared: bool, subscriptions: bool, all_names: bool) -> Tree:
    """The names that an account sees; others' mailboxes with `shared`.

    `subscriptions` tells which are subscribed, `all_names` adds the subscribed ones that no mailbox has.
    """
    mailboxes = {mailbox.name: mailbox for mailbox in list_mailboxes(tx, account)}
    others = {access.name: access for access in acl.list_shared(tx, account)} if shared else {}
    mailboxes |= {name: acl.without_role(access.mailbox, name) for name, access in others.items()}
    parents = names_above(mailboxes)
    names = set(mailboxes) | parents
    subscribed = set(list_subscriptions(tx, account)) if subscriptions or all_names else set()
    if all_names:
        names |= subscribed | names_above(subscribed)
    inbox_first = sorted(names, key=lambda name: (name != "INBOX", name))
    return Tree(mailboxes, inbox_first, parents, subscribed, others)


def read_attributes(tx: Transaction, account: int, name: str) -> list[str]:
    """The attributes of one mailbox, as LIST shows them; none of a mailbox that the account may not list."""
    tree = read_tree(tx, account, shared=acl.is_shared(name), subscriptions=False, all_names=False)
    return tree.attributes(name, subscribed=False) if name in tree.mailboxes else []


def names_above(names: Iterable[str]) -> set[str]:
    """The levels above these names."""
    above: set[str] = set()
    for name in names:
        end = name.rfind(DELIMITER)
        while end > 0 and name[:end] not in above:
            above.add(name[:end])
            end = name.rfind(DELIMITER, 0, end)
    return above


def special_use(mailbox: Mailbox) -> str:
    """The attribute that names a mailbox's special use (RFC 6154 2), or ''."""
    return SPECIAL_USES.get("\\" + mailbox.role.upper(), "") if mailbox.role else ""
