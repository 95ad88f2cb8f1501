"""A resolver without a network, for tests and simulations."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from mailwright.dns.api import MX, TLSA, Answer, DNSTemporary, Record, Status

CNAME_LIMIT = 10

Zone = Mapping[str, Mapping[str, Sequence[str | Record]]]


class MockResolver:
    """Answers from a zone: `{"example.org": {"MX": ["10 mx.example.org"], "TXT": [b"v=spf1 -all"]}}`.

    Records are written as in a zone file, names absolute; TXT as bytes, or quoted.
    `secure` lists the domains that are signed, with all below them. `failing` lists names (all types) or
    "name TYPE" pairs that raise DNSTemporary. `queries` tells what was asked.
    """

    def __init__(
        self,
        zone: Zone | None = None,
        *,
        secure: Iterable[str] = (),
        failing: Iterable[str] = (),
        delay: float = 0.0,
        ttl: int = 300,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._records: dict[tuple[str, str], tuple[Record, ...]] = {}
        self._names: set[str] = set()
        self.secure = {_plain(name) for name in secure}
        self.failing = {_plain_failing(text) for text in failing}
        self.delay = delay  # seconds before each answer
        self.delays: dict[str, float] = {}  # name -> seconds, instead of `delay`
        self.ttl = ttl
        self.queries: list[tuple[str, str]] = []
        self._sleep = sleep
        for name, types in (zone or {}).items():
            self._add_name(_plain(name))
            for rtype, records in types.items():
                for record in records:
                    self.add(name, rtype, record)

    @classmethod
    def from_text(cls, text: str, **options: object) -> MockResolver:
        """One record in a line, `name TYPE data`; `;` begins a comment. Options as for the class."""
        resolver = cls(**options)  # type: ignore[arg-type]
        for line in text.splitlines():
            fields = line.partition(";")[0].split(None, 2) if '"' not in line else line.split(None, 2)
            if fields and not fields[0].startswith(";"):
                name, rtype, data = fields
                resolver.add(name, rtype, data)
        return resolver

    def add(self, name: str, rtype: str, record: str | Record) -> None:
        """One more record."""
        name, rtype = _plain(name), rtype.upper()
        self._add_name(name)
        value = parse_record(rtype, record) if isinstance(record, str) else record
        self._records[name, rtype] = (*self._records.get((name, rtype), ()), value)

    def remove(self, name: str, rtype: str) -> None:
        """Forget the records of this name and type; the name stays."""
        self._records.pop((_plain(name), rtype.upper()), None)

    def _add_name(self, name: str) -> None:
        # A name above another exists, without data (RFC 8020).
        while name and name not in self._names:
            self._names.add(name)
            name = name.partition(".")[2]

    async def resolve(self, name: str, rtype: str) -> Answer[Record]:
        """As `Resolver.resolve`."""
        name, rtype = _plain(name), rtype.upper()
        self.queries.append((name, rtype))
        delay = self.delays.get(name, self.delay)
        if delay > 0:
            await self._sleep(delay)
        return self._answer(name, rtype)

    def _answer(self, name: str, rtype: str) -> Answer[Record]:
        secure = True
        for _ in range(CNAME_LIMIT):
            if name in self.failing or f"{name} {rtype}" in self.failing:
                raise DNSTemporary(f"{name} {rtype}: the name server answered SERVFAIL")
            secure = secure and self._is_secure(name)
            records = self._records.get((name, rtype), ())
            if records:
                return Answer(Status.FOUND, records, secure, self.ttl, name)
            alias = self._records.get((name, "CNAME"), ())
            if not alias:
                status = Status.NO_DATA if name in self._names else Status.NO_NAME
                return Answer(status, (), secure, self.ttl, name)
            name = str(alias[0])
        raise DNSTemporary(f"{name} {rtype}: more than {CNAME_LIMIT} aliases in a row")

    def _is_secure(self, name: str) -> bool:
        while name:
            if name in self.secure:
                return True
            name = name.partition(".")[2]
        return "" in self.secure


def parse_record(rtype: str, text: str) -> Record:
    """A record from its zone-file text. Raises ValueError when the text does not fit the type."""
    if rtype == "MX":
        preference, exchange = text.split()
        return MX(int(preference), _plain(exchange) or ".")
    if rtype == "TLSA":
        usage, selector, matching, data = text.split(None, 3)
        return TLSA(int(usage), int(selector), int(matching), bytes.fromhex(data))
    if rtype == "TXT":
        strings = shlex.split(text) if text.startswith('"') else [text]
        return "".join(strings).encode()
    if rtype in ("CNAME", "PTR", "NS"):
        return _plain(text)
    return text


def _plain(name: str) -> str:
    return name.strip().rstrip(".").lower()


def _plain_failing(text: str) -> str:
    name, _, rtype = text.partition(" ")
    return f"{_plain(name)} {rtype.upper()}".strip()
