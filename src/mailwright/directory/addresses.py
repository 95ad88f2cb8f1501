"""The form in which addresses of ours compare equal."""

from __future__ import annotations

import unicodedata

from mailwright.base.domain import InvalidDomain, to_ascii
from mailwright.directory.errors import InvalidAddress

MAX_LOCAL_PART = 64  # octets, RFC 5321 4.5.3.1.1


def normal_local(local: str) -> str:
    """A local part as we compare it: NFC, and without regard to case, which RFC 5321 2.4 leaves to the final host."""
    return unicodedata.normalize("NFC", local).casefold()


def normal_address(address: str) -> str:
    """`local@domain` as we compare it. Raises InvalidAddress."""
    local, at, domain = address.strip().rpartition("@")
    if not at or not local or any(char.isspace() or ord(char) < 32 for char in local):
        raise InvalidAddress(f"{address!r} is not a mail address; write it as name@domain")
    if len(local.encode()) > MAX_LOCAL_PART:
        raise InvalidAddress(
            f"{address!r} has more than {MAX_LOCAL_PART} octets before the @ (RFC 5321 4.5.3.1.1)"
        )
    return f"{normal_local(local)}@{normal_domain(domain)}"


def looked_up(address: str) -> str:
    """As `normal_address`, of any local part that a peer may name (RFC 5321 4.1.2), whether it could be ours or not.

    Raises InvalidAddress for what is without either part, or no domain.
    """
    local, _, domain = address.rpartition("@")
    if not local:
        raise InvalidAddress(f"{address!r} is not a mail address; write it as name@domain")
    return f"{normal_local(local)}@{normal_domain(domain)}"


def normal_domain(domain: str) -> str:
    """A domain in A-labels. Raises InvalidAddress."""
    try:
        return to_ascii(domain)
    except InvalidDomain as error:
        raise InvalidAddress(str(error)) from error


def split(address: str) -> tuple[str, str]:
    """The local part and the domain of a normal address."""
    local, _, domain = address.rpartition("@")
    return local, domain
