"""Domain names as the mail RFCs write them: A-labels on the wire, U-labels for people (RFC 5890, RFC 6531)."""

from __future__ import annotations

import ipaddress

import idna

MAX_DOMAIN = 255  # octets, RFC 5321 4.5.3.1.2


class InvalidDomain(ValueError):
    """A text that is no domain name; the message says why."""


def to_ascii(domain: str) -> str:
    """The lower-case A-label form of `domain` (`bücher.example` -> `xn--bcher-kva.example`).

    Raises InvalidDomain when it is empty, too long (RFC 5321 4.5.3.1.2) or holds a label that DNS cannot.
    A trailing dot is dropped.
    """
    name = domain.strip().rstrip(".").lower()
    if name.isascii():
        if not _is_hostname(name):
            raise InvalidDomain(f"{domain!r} is not a domain name")
        return name
    try:
        name = idna.encode(name, uts46=True).decode("ascii").lower()
    except idna.IDNAError as error:
        raise InvalidDomain(f"{domain!r} is not a domain name: {error}") from error
    if not _is_hostname(name):
        raise InvalidDomain(f"{domain!r} is not a domain name")
    return name


def to_unicode(domain: str) -> str:
    """The form a person reads; a label that does not decode stays as it is."""
    return ".".join(_label_to_unicode(label) for label in domain.split("."))


def spellings(name: str) -> list[str]:
    """A domain or address in lower case, as it may be written: as given, with A-labels, in its own script."""
    local, at, domain = name.lower().rpartition("@")
    try:
        ascii_form = to_ascii(domain)
    except InvalidDomain:
        return [name.lower()]
    forms = (domain, ascii_form, to_unicode(ascii_form))
    return [f"{local}{at}{form}" for form in dict.fromkeys(forms)]


def _label_to_unicode(label: str) -> str:
    if not label.lower().startswith("xn--"):
        return label
    try:
        return idna.decode(label)
    except (idna.IDNAError, UnicodeError):
        return label


def _is_hostname(name: str) -> bool:
    if not name or len(name) > MAX_DOMAIN:
        return False
    for label in name.split("."):
        if not label or len(label) > 63 or label[0] == "-" or label[-1] == "-":
            return False
        for char in label:
            if not (char.isascii() and (char.isalnum() or char in "-_")):
                return False
    return True


def is_address(text: str) -> bool:
    """Whether it is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
