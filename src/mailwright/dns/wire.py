"""Questions to octets, octets to replies. Pure; hostile octets raise `BadReply` and nothing else."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.MX
import dns.rdtypes.ANY.SOA
import dns.rdtypes.ANY.TLSA
import dns.rdtypes.ANY.TXT
import dns.rrset

from mailwright.dns.api import MX, TLSA, Record, Status

UDP_SIZE: Final = 1232  # the DNS flag day's size, that no path fragments
CNAME_LIMIT: Final = 10
HEADER: Final = struct.Struct("!HHHHHH")  # id, flags, and the number of entries in each section
_RD_AD: Final = 0x0120  # recursion desired; AD in a query asks for AD in the reply (RFC 6840 5.7)
_OPT: Final = struct.pack("!BHHBBHH", 0, 41, UDP_SIZE, 0, 0, 0x8000, 0)  # RFC 6891 6.1.2, with DO


class BadReply(Exception):
    """A reply that cannot be used; the text says why."""


class Truncated(BadReply):
    """The reply does not fit in a datagram: ask by TCP."""


class NoEDNS(BadReply):
    """The server does not take EDNS: ask without it."""


class Refused(BadReply):
    """The server answered that it cannot or will not tell (REFUSED, ...)."""


class ServFail(Refused):
    """The server found no answer, or found it bogus."""


@dataclass(frozen=True)
class Query:
    """One question as it goes out."""

    id: int
    question: bytes  # name, type, class
    wire: bytes


@dataclass(frozen=True)
class Reply:
    """What a server said about a question, after the CNAMEs in that reply were followed."""

    status: Status
    records: tuple[Record, ...]
    authentic: bool  # the AD bit
    ttl: int  # seconds, of the aliases too; 0 when a denial names no SOA
    canonical: dns.name.Name
    is_alias_only: bool  # the chain leads out of what this server knows: ask for `canonical`
    size: int  # octets of the reply


def build_query(name: dns.name.Name, rtype: str, query_id: int, edns: bool = True) -> Query:
    """The question for an absolute name, recursion desired."""
    question = name.to_digestable() + struct.pack("!HH", dns.rdatatype.from_text(rtype), dns.rdataclass.IN)
    header = HEADER.pack(query_id, _RD_AD, 1, 0, 0, 1 if edns else 0)
    return Query(query_id, question, header + question + (_OPT if edns else b""))


def is_reply_to(query: Query, wire: bytes) -> bool:
    """Whether these octets claim to answer the query: same id, same question."""
    if len(wire) < HEADER.size:
        return False
    head: tuple[int, ...] = HEADER.unpack_from(wire)
    reply_id, flags, questions = head[:3]
    if reply_id != query.id or not flags & 0x8000:
        return False
    if questions == 0:  # allowed when the server could not read the question
        return flags & 0x000F != 0
    return questions == 1 and wire[12 : 12 + len(query.question)].lower() == query.question.lower()


def read_reply(name: dns.name.Name, rtype: str, wire: bytes) -> Reply:
    """The meaning of a reply that `is_reply_to` accepted. Raises BadReply."""
    try:
        message = dns.message.from_wire(wire, ignore_trailing=True)
        return _read(name, rtype, message, len(wire))
    except BadReply:
        raise
    except Exception as error:  # dnspython raises many kinds on hostile octets
        raise BadReply(f"sent a malformed reply ({type(error).__name__})") from error


def _read(name: dns.name.Name, rtype: str, message: dns.message.Message, size: int) -> Reply:
    if message.flags & dns.flags.TC:
        raise Truncated("sent a truncated reply")
    rcode = message.rcode()
    if rcode in (dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS):
        raise NoEDNS(f"answered {dns.rcode.to_text(rcode)}")
    if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        kind = ServFail if rcode == dns.rcode.SERVFAIL else Refused
        raise kind(f"answered {dns.rcode.to_text(rcode)}{_explain(message)}")
    wanted = dns.rdatatype.from_text(rtype)
    canonical, ttl, rrset = _follow(name, wanted, message.answer)
    authentic = bool(message.flags & dns.flags.AD)
    if rrset is not None:
        records = tuple(_convert(rdata) for rdata in rrset)
        return Reply(Status.FOUND, records, authentic, min(ttl, rrset.ttl), canonical, False, size)
    denial = _denial_ttl(message)
    alias_only = canonical != name and denial is None and rcode == dns.rcode.NOERROR
    recursive = message.flags & dns.flags.RA
    if denial is None and not alias_only and not recursive and not message.flags & dns.flags.AA:
        raise Refused("is no resolver: it answered with a referral")
    status = Status.NO_NAME if rcode == dns.rcode.NXDOMAIN else Status.NO_DATA
    held = ttl if alias_only else min(ttl, denial or 0)
    return Reply(status, (), authentic, held, canonical, alias_only, size)


def _follow(
    name: dns.name.Name, wanted: dns.rdatatype.RdataType, section: list[dns.rrset.RRset]
) -> tuple[dns.name.Name, int, dns.rrset.RRset | None]:
    """Where the CNAMEs in the answer lead, their smallest TTL, and the records there, if any."""
    found: dict[tuple[dns.name.Name, int], dns.rrset.RRset] = {}
    for rrset in section:
        if rrset.rdclass == dns.rdataclass.IN and len(rrset) > 0:
            found.setdefault((rrset.name, rrset.rdtype), rrset)
    ttl = 0x7FFFFFFF
    for _ in range(CNAME_LIMIT + 1):
        rrset_found = found.get((name, wanted))
        if rrset_found is not None:
            return name, ttl, rrset_found
        alias = found.get((name, dns.rdatatype.CNAME))
        if alias is None:
            return name, ttl, None
        ttl = min(ttl, alias.ttl)
        name = alias[0].target
    raise Refused(f"answered with more than {CNAME_LIMIT} aliases in a row")


def _denial_ttl(message: dns.message.Message) -> int | None:
    """How long a denial holds (RFC 2308 5); None when the reply has no SOA."""
    for rrset in message.authority:
        if rrset.rdtype == dns.rdatatype.SOA and len(rrset) > 0:
            soa = rrset[0]
            return min(rrset.ttl, soa.minimum) if isinstance(soa, dns.rdtypes.ANY.SOA.SOA) else rrset.ttl
    return None


def _convert(rdata: dns.rdata.Rdata) -> Record:
    if isinstance(rdata, dns.rdtypes.ANY.MX.MX):
        return MX(rdata.preference, plain(rdata.exchange) or ".")
    if isinstance(rdata, dns.rdtypes.ANY.TLSA.TLSA):
        return TLSA(rdata.usage, rdata.selector, rdata.mtype, rdata.cert)
    if isinstance(rdata, dns.rdtypes.ANY.TXT.TXT):
        return b"".join(rdata.strings)
    target = getattr(rdata, "target", None)
    if isinstance(target, dns.name.Name):
        return plain(target)
    return rdata.to_text()


def _explain(message: dns.message.Message) -> str:
    """The extended errors of a reply (RFC 8914), such as why a name is bogus."""
    texts: list[str] = []
    for option in message.options[:4]:
        if isinstance(option, dns.edns.EDEOption):
            code = option.code
            name = code.name.replace("_", " ").lower() if isinstance(code, dns.edns.EDECode) else str(code)
            detail = "".join(char if char.isprintable() else "?" for char in (option.text or "")[:200])
            texts.append(f"{name}: {detail}" if detail else name)
    return f" ({'; '.join(texts)})" if texts else ""


def plain(name: dns.name.Name) -> str:
    """The name in lower case without its final dot; the root is empty."""
    return name.to_text(omit_final_dot=True).lower() if len(name.labels) > 1 else ""


def parse_name(text: str) -> dns.name.Name | None:
    """An absolute name; None when the DNS cannot hold this one."""
    if not text.isascii() or not text:
        return None
    try:
        return dns.name.from_text(text)
    except (dns.exception.DNSException, ValueError):
        return None
