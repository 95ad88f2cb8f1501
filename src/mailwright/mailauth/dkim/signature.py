"""The DKIM-Signature field as values (RFC 6376 3.5)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mailwright.base.domain import to_ascii
from mailwright.mailauth.dkim.canonical import RELAXED, SIMPLE
from mailwright.mailauth.dkim.tags import InvalidTags, decode_base64, decode_number, parse_tags, split_list

_REQUIRED: Final = ("v", "a", "b", "bh", "d", "h", "s")
_SIGNATURE_VALUE: Final = re.compile(rb"((?:^|;)[ \t\r\n]*b[ \t\r\n]*=)[^;]*")


class MissingTag(InvalidTags):
    """A required tag is absent."""


@dataclass(frozen=True)
class Signature:
    """One signature; domains in A-labels and lower case."""

    algorithm: str
    value: bytes
    body_hash: bytes
    canonicalization: str  # of the header
    body_canonicalization: str
    domain: str
    selector: str
    identity: str  # i=, `@domain` when absent
    names: tuple[bytes, ...]  # h=, in order
    length: int | None  # l=
    timestamp: int | None
    expiration: int | None
    by_dns: bool  # q= names dns/txt, the only method there is
    unsigned: bytes  # the field without the value of b=


def parse_signature(field: bytes) -> Signature:
    """A DKIM-Signature field, name included. Raises InvalidTags."""
    name, _, value = field.partition(b":")
    tags = parse_tags(value)
    for tag in _REQUIRED:
        if tag not in tags:
            raise MissingTag(f"{tag}= is missing")
    if tags["v"] != "1":
        raise InvalidTags("v= is not 1")
    header, slash, body = tags.get("c", SIMPLE).lower().partition("/")
    body = body if slash else SIMPLE
    if header not in (SIMPLE, RELAXED) or body not in (SIMPLE, RELAXED):
        raise InvalidTags("c= names an unknown canonicalization")
    domain = _domain("d", tags["d"])
    timestamp = decode_number("t", tags["t"]) if "t" in tags else None
    expiration = decode_number("x", tags["x"]) if "x" in tags else None
    if timestamp is not None and expiration is not None and expiration < timestamp:
        raise InvalidTags("x= is before t=")
    return Signature(
        algorithm=tags["a"].lower(),
        value=decode_base64("b", tags["b"]),
        body_hash=decode_base64("bh", tags["bh"]),
        canonicalization=header,
        body_canonicalization=body,
        domain=domain,
        selector=_domain("s", tags["s"]),
        identity=tags.get("i", "@" + domain),
        names=tuple(item.encode("utf-8", "surrogateescape") for item in split_list(tags["h"])),
        length=decode_number("l", tags["l"]) if "l" in tags else None,
        timestamp=timestamp,
        expiration=expiration,
        by_dns="dns/txt" in split_list(tags.get("q", "dns/txt").lower()),
        unsigned=name + b":" + _SIGNATURE_VALUE.sub(rb"\1", value),
    )


def identity_domain(identity: str) -> str:
    """The domain of i= in A-labels. Raises InvalidTags."""
    return _domain("i", identity.rpartition("@")[2])


def _domain(tag: str, value: str) -> str:
    try:
        return to_ascii(value)
    except ValueError as error:  # InvalidDomain, or octets that are no text
        raise InvalidTags(f"{tag}= is not a domain name") from error
