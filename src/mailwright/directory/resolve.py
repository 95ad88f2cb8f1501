"""Where mail for an address goes, and which addresses an account may use as its own."""

from __future__ import annotations

from typing import NamedTuple

from mailwright.directory.addresses import looked_up, normal_domain, split
from mailwright.directory.domains import is_local
from mailwright.directory.errors import AccountDisabled, AliasLoop, InvalidAddress, NoSuchUser, NotLocal
from mailwright.store.db.api import Transaction

MAX_DEPTH = 10  # aliases behind aliases
MAX_TARGETS = 1000


class Destination(NamedTuple):
    """An account that gets the mail, and the tag of the address it came by."""

    account: int
    address: str
    detail: str  # 'tag' of user+tag@domain, RFC 5233


class Resolution(NamedTuple):
    """Where mail for an address goes."""

    accounts: tuple[Destination, ...]
    remote: tuple[str, ...]  # addresses elsewhere that an alias names


def resolve(tx: Transaction, address: str, separator: str = "+") -> Resolution:
    """Where mail for an address of ours goes.

    Tried in order: the account, the alias, both without the tag behind `separator`, the catch-all; postmaster always
    reaches somebody (RFC 5321 4.5.1).
    `address` has its local part without quotes. Raises NotLocal, NoSuchUser, AccountDisabled (when nobody else gets
    it), AliasLoop, InvalidAddress.
    """
    local, _, domain = address.rpartition("@")
    # Elsewhere there are address literals, and longer local parts than we allow ourselves.
    if local and (domain.startswith("[") or not is_local(tx, normal_domain(domain))):
        raise NotLocal(f"{domain} is not a domain of this server")
    address = looked_up(address)
    accounts: dict[int, Destination] = {}
    remote: dict[str, None] = {}
    disabled: list[str] = []
    waiting = [(address, 0)]
    seen = {address}
    while waiting:
        current, depth = waiting.pop()
        if depth > MAX_DEPTH or len(seen) > MAX_TARGETS:
            raise AliasLoop(
                f"the alias {address} leads to too many others; check it with `mailwright alias list`"
            )
        if not is_local(tx, split(current)[1]):
            remote[current] = None
            continue
        account, targets = _look_up(tx, current, separator)
        if account is not None and account.disabled:
            disabled.append(account.destination.address)
        elif account is not None:
            accounts.setdefault(account.destination.account, account.destination)
        for target in targets:
            if target not in seen:
                seen.add(target)
                waiting.append((target, depth + 1))
    if not accounts and not remote:
        if disabled:
            raise AccountDisabled(f"the account {disabled[0]} is disabled")
        if len(seen) > 1:
            raise AliasLoop(f"the alias {address} leads nowhere; check it with `mailwright alias list`")
        raise NoSuchUser(f"there is no {address} here")
    return Resolution(tuple(accounts.values()), tuple(remote))


def may_send_as(tx: Transaction, account: int, address: str, separator: str = "+") -> bool:
    """Whether an address belongs to an account: its own, with any tag, or an alias that leads to it."""
    try:
        return any(found.account == account for found in resolve(tx, address, separator).accounts)
    except (NotLocal, NoSuchUser, AliasLoop, AccountDisabled, InvalidAddress):
        return False


class _Found(NamedTuple):
    destination: Destination
    disabled: bool


def _look_up(tx: Transaction, address: str, separator: str) -> tuple[_Found | None, list[str]]:
    """The account or the targets of one address; neither when it is unknown."""
    local, domain = split(address)
    base, _, detail = local.partition(separator) if separator else (local, "", "")
    candidates = [(address, "")]
    if base and base != local:
        candidates.append((f"{base}@{domain}", detail))
    for candidate, tag in candidates:
        row = tx.one("SELECT id, address, disabled FROM accounts WHERE address = ?", candidate)
        if row is not None:
            return _Found(Destination(row[0], row[1], tag), bool(row[2])), []
        targets = _targets(tx, candidate)
        if targets:
            return None, targets
    targets = _targets(tx, "@" + domain)
    if targets:
        return None, targets
    if base == "postmaster":
        row = tx.one("SELECT id, address, disabled FROM accounts ORDER BY disabled, id LIMIT 1")
        if row is not None:
            return _Found(Destination(row[0], row[1], ""), bool(row[2])), []
    return None, []


def _targets(tx: Transaction, address: str) -> list[str]:
    return [
        target for (target,) in tx.all("SELECT target FROM aliases WHERE address = ? LIMIT 1001", address)
    ]
