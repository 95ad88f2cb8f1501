"""What the house asks of the DNS. Pure: the resolver behind it may be the network's or a test's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Generic, NamedTuple, Protocol, TypeVar

RECORD_TYPES = ("A", "AAAA", "MX", "TXT", "TLSA", "PTR", "CNAME", "NS", "SOA")


class DNSTemporary(Exception):
    """No answer now (SERVFAIL, REFUSED, time-out, bogus): try later. The text says from whom and why."""


class Status(Enum):
    """How a question was answered (RFC 2308 2)."""

    FOUND = "found"
    NO_DATA = "no data"  # the name exists, or may, but not with this type
    NO_NAME = "no such name"  # NXDOMAIN, or a text that cannot be a name in the DNS


class MX(NamedTuple):
    """RFC 1035 3.3.9. The exchange is lower case, without final dot; `.` alone is the null MX (RFC 7505)."""

    preference: int
    exchange: str


class TLSA(NamedTuple):
    """RFC 6698 2.1."""

    usage: int
    selector: int
    matching: int
    data: bytes


# A, AAAA, PTR, CNAME, NS and SOA (as text): str. TXT: its strings joined, as bytes. MX and TLSA: as above.
Record = str | bytes | MX | TLSA
T = TypeVar("T", covariant=True)


@dataclass(frozen=True)
class Answer(Generic[T]):
    """The records of one name and type, after CNAMEs were followed. None unless `status` is FOUND."""

    status: Status
    records: tuple[T, ...]
    secure: bool  # DNSSEC-validated by a resolver we trust, each step of a CNAME chain included; denials too
    ttl: int  # seconds that this answer may still be used
    canonical: str  # the name at the end of the CNAME chain, lower case, no final dot

    def __bool__(self) -> bool:
        return bool(self.records)


class Resolver(Protocol):
    """Asks the DNS. Names are A-labels, with or without the final dot; the search list is never used."""

    async def resolve(self, name: str, rtype: str) -> Answer[Record]:
        """The records of `name` with type `rtype` (one of RECORD_TYPES).

        Raises DNSTemporary only. A name that the DNS cannot hold has the status NO_NAME.
        """
        ...
