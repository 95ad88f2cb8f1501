"""The domains whose mail is ours."""

from __future__ import annotations

from mailwright.base.domain import InvalidDomain, is_address, to_ascii
from mailwright.directory.errors import AlreadyExists, DomainInUse, InvalidAddress, NotFound
from mailwright.store.db.api import Transaction


def add_domain(tx: Transaction, name: str, *, now: int) -> str:
    """Make a domain ours; its A-label form. Raises InvalidAddress, AlreadyExists."""
    domain = _normal(name)
    if is_address(domain):  # RFC 5321 4.1.3: mail for an address comes as name@[192.0.2.1]
        raise InvalidAddress(f"{name!r} is an address, not a domain; mail is for names such as example.org")
    added = tx.run("INSERT INTO domains (name, created_at) VALUES (?, ?) ON CONFLICT DO NOTHING", domain, now)
    if not added:
        raise AlreadyExists(f"the domain {domain} is there already")
    return domain


def remove_domain(tx: Transaction, name: str) -> None:
    """Give a domain up. Raises NotFound, and DomainInUse while it has accounts or aliases."""
    domain = _normal(name)
    ending = "%@" + domain.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")
    for table in ("accounts", "aliases"):
        row = tx.one(f"SELECT address FROM {table} WHERE address LIKE ? ESCAPE '\\'", ending)  # noqa: S608
        if row is not None:
            raise DomainInUse(f"{domain} still has {row[0]} in its {table}; remove those first")
    if not tx.run("DELETE FROM domains WHERE name = ?", domain):
        raise NotFound(f"no domain {domain}")


def list_domains(tx: Transaction) -> list[str]:
    """All our domains, by name."""
    return [name for (name,) in tx.all("SELECT name FROM domains ORDER BY name")]


def is_local(tx: Transaction, domain: str) -> bool:
    """Whether a domain in A-labels is ours."""
    return tx.one("SELECT 1 FROM domains WHERE name = ?", domain) is not None


def _normal(name: str) -> str:
    try:
        return to_ascii(name)
    except InvalidDomain as error:
        raise InvalidAddress(str(error)) from error
