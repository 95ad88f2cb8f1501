"""The policy file (RFC 8461 3.2) and for how long it holds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from mailwright.base.domain import InvalidDomain, to_ascii

ENFORCE: Final = "enforce"
TESTING: Final = "testing"
NONE: Final = "none"

MAX_SIZE: Final = 64 * 1024  # octets of a policy file, RFC 8461 3.3
MAX_MX: Final = 1000
MAX_AGE: Final = 31_557_600  # seconds, RFC 8461 3.2
REFRESH_AGE: Final = 86_400  # seconds; RFC 8461 10.2 advises to look daily
FETCH_RETRY: Final = 300  # seconds between two attempts to fetch that fail, RFC 8461 3.3

_NUMBER: Final = re.compile(r"[0-9]{1,10}\Z")


class InvalidPolicy(ValueError):
    """Not a policy file; the message says what is wrong with it (`sts-policy-invalid` in TLS-RPT)."""


@dataclass(frozen=True)
class Policy:
    """A domain's policy. The patterns are in A-labels and lower case."""

    mode: str  # enforce, testing, none
    max_age: int  # seconds
    mx: tuple[str, ...]  # host names, or `*.` and a domain

    def allows(self, host: str) -> bool:
        """Whether a host is one of the domain's: `*.` stands for exactly one label (RFC 8461 4.1)."""
        name = host.rstrip(".").lower()
        above = "*." + name.partition(".")[2]
        return any(pattern in (name, above) for pattern in self.mx)

    def lines(self) -> tuple[str, ...]:
        """The policy as TLS-RPT's policy-string (RFC 8460 4.4), and as a file without its line ends."""
        head = ("version: STSv1", f"mode: {self.mode}")
        return (*head, *(f"mx: {pattern}" for pattern in self.mx), f"max_age: {self.max_age}")


def policy_url(domain: str) -> str:
    """Where the file is. Fetch it with a certificate check, without following redirects (RFC 8461 3.3)."""
    return f"https://mta-sts.{domain}/.well-known/mta-sts.txt"


def parse_policy(data: bytes) -> Policy:
    """A policy from its file. Raises InvalidPolicy.

    Unknown keys, and a key's second occurrence, are ignored; so is an mx line that is no pattern, as long as
    another one remains.
    """
    if len(data) > MAX_SIZE:
        raise InvalidPolicy(f"the file is larger than {MAX_SIZE} octets")
    first: dict[str, str] = {}
    patterns: list[str] = []
    for line in data.decode("utf-8", "replace").split("\n"):
        key, colon, value = line.partition(":")
        key, value = key.strip(" \t"), value.strip(" \t\r")
        if not colon:
            continue
        if key == "mx":
            pattern = _parse_pattern(value)
            if pattern is not None and len(patterns) < MAX_MX:
                patterns.append(pattern)
        else:
            first.setdefault(key, value)
    return _build(first, patterns)


def _build(fields: dict[str, str], patterns: list[str]) -> Policy:
    if fields.get("version") != "STSv1":
        raise InvalidPolicy("version is not STSv1")
    mode = fields.get("mode", "")
    if mode not in (ENFORCE, TESTING, NONE):
        raise InvalidPolicy("mode is none of enforce, testing, none")
    age = fields.get("max_age", "")
    if not _NUMBER.match(age):
        raise InvalidPolicy("max_age is not a number of seconds")
    if not patterns and mode != NONE:
        raise InvalidPolicy("there is no mx")
    return Policy(mode, min(int(age), MAX_AGE), tuple(dict.fromkeys(patterns)))


def _parse_pattern(value: str) -> str | None:
    star = "*." if value.startswith("*.") else ""
    try:
        return star + to_ascii(value[len(star) :])
    except InvalidDomain:
        return None


class Step(Enum):
    """What to do before a delivery to a domain."""

    FETCH = "fetch"  # get the file; when that fails, use the cached policy while it lives
    USE = "use"  # the cached policy holds
    NOTHING = "nothing"  # the domain has no policy


@dataclass(frozen=True)
class CachedPolicy:
    """A policy that was fetched. Times are in seconds since 1970."""

    policy: Policy
    record_id: str  # of the TXT record when it was fetched
    fetched_at: float

    def is_live(self, now: float) -> bool:
        """Whether it must still be obeyed."""
        return now < self.fetched_at + self.policy.max_age


def plan(cached: CachedPolicy | None, record_id: str | None, now: float) -> Step:
    """What the cache and the TXT record (None: absent, malformed or unknown) ask for (RFC 8461 3.3, 5.1).

    That the record is gone does not end a policy: an attacker could have taken it away. It is the caller's
    part to leave FETCH_RETRY between attempts that fail.
    """
    live = cached if cached is not None and cached.is_live(now) else None
    if record_id is None:
        return Step.USE if live is not None else Step.NOTHING
    if live is None or live.record_id != record_id:
        return Step.FETCH
    is_stale = now - live.fetched_at > min(REFRESH_AGE, live.policy.max_age / 2)
    return Step.FETCH if is_stale else Step.USE
