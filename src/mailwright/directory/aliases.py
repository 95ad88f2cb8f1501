"""Aliases: an address that stands for others, here or elsewhere; `@domain` stands for all that is not named."""

from __future__ import annotations

from mailwright.directory.addresses import normal_address, normal_local, split
from mailwright.directory.domains import is_local
from mailwright.directory.errors import AlreadyExists, InvalidAddress, NotFound, NotLocal
from mailwright.store.db.api import Transaction


def add_alias(tx: Transaction, address: str, targets: list[str], *, now: int) -> str:
    """Add targets to an alias; its normal form. `*@domain` and `@domain` are the catch-all.

    Raises InvalidAddress, NotLocal, and AlreadyExists when an account has the address.
    """
    address = _normal(address)
    domain = split(address)[1]
    if not is_local(tx, domain):
        raise NotLocal(
            f"{domain} is not a domain of this server; add it with `mailwright domain add {domain}`"
        )
    if tx.one("SELECT 1 FROM accounts WHERE address = ?", address) is not None:
        raise AlreadyExists(f"{address} is an account; an alias cannot have its address")
    if not targets:
        raise InvalidAddress(f"the alias {address} needs a target")
    for target in targets:
        if _target(tx, target) == address:
            raise InvalidAddress(f"the alias {address} cannot stand for itself")
        tx.run(
            "INSERT INTO aliases (address, target, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            address,
            _target(tx, target),
            now,
        )
    return address


def remove_alias(tx: Transaction, address: str, target: str | None = None) -> None:
    """Remove an alias, or one of its targets. Raises NotFound, InvalidAddress."""
    address = _normal(address)
    if target is None:
        removed = tx.run("DELETE FROM aliases WHERE address = ?", address)
    else:
        removed = tx.run("DELETE FROM aliases WHERE address = ? AND target = ?", address, _target(tx, target))
    if not removed:
        raise NotFound(f"no alias {address}" + (f" with the target {target}" if target else ""))


def list_aliases(tx: Transaction) -> dict[str, list[str]]:
    """All aliases and their targets, by address."""
    found: dict[str, list[str]] = {}
    for address, target in tx.all("SELECT address, target FROM aliases ORDER BY address, target"):
        found.setdefault(address, []).append(target)
    return found


def _normal(address: str) -> str:
    if address.startswith(("*@", "@")):
        return "@" + split(normal_address("x@" + address.partition("@")[2]))[1]
    return normal_address(address)


def _target(tx: Transaction, target: str) -> str:
    """Ours in normal form; of others only the domain, since their local parts are theirs to compare."""
    normal = normal_address(target)
    domain = split(normal)[1]
    local = target.strip().rpartition("@")[0]
    return f"{normal_local(local) if is_local(tx, domain) else local}@{domain}"
