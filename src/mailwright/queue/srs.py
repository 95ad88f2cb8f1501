"""The Sender Rewriting Scheme: a forwarded message leaves with a reverse-path of ours that leads back.

alice@a.example, forwarded by us      -> SRS0=HASH=TT=a.example=alice@us.example
SRS0=...@b.example, forwarded by us   -> SRS1=HASH=b.example==...@us.example
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b32encode
from typing import Final

MAX_AGE: Final = 21  # days in which a bounce is taken back
DAY: Final = 86_400
SLOTS: Final = 1024  # the time stamp counts days modulo 2 ** 10
HASH_CHARS: Final = 8  # 40 bits
ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
SEPARATORS: Final = "=+-"


class InvalidAddress(ValueError):
    """No address of ours to reverse: forged, changed on its way, or too old. The message says which."""


class Rewriter:
    """Rewrites for one domain of ours. The first of `secrets` signs, all verify, so one can be changed."""

    __slots__ = ("_domain", "_secrets")

    def __init__(self, domain: str, secrets: tuple[bytes, ...]) -> None:
        if not secrets or not all(secrets):
            raise ValueError("SRS needs a secret: set one in the configuration")
        self._domain = domain.lower()
        self._secrets = secrets

    def forward(self, reverse_path: str, now: float) -> str:
        """The reverse-path to forward with. The null one, and one in our own domain, stay as they are."""
        local, at, domain = reverse_path.rpartition("@")
        if not at or domain.lower() == self._domain:
            return reverse_path
        head, rest = local[:5].upper(), local[5:]
        if head in ("SRS0=", "SRS0+", "SRS0-") and rest:
            return self._srs1(domain, local[4:])
        if head in ("SRS1=", "SRS1+", "SRS1-") and rest.count("=") >= 2:
            _, first, tail = rest.split("=", 2)
            return self._srs1(first, tail)
        stamp = _stamp(now)
        mark = self._hash(self._secrets[0], stamp, domain, local)
        return f"SRS0={mark}={stamp}={domain}={local}@{self._domain}"

    def is_ours(self, address: str) -> bool:
        """Whether this looks like an address that `reverse` should be asked about."""
        local, _, domain = address.rpartition("@")
        return (
            domain.lower() == self._domain
            and local[:4].upper() in ("SRS0", "SRS1")
            and local[4:5] in SEPARATORS
        )

    def reverse(self, address: str, now: float) -> str:
        """The address that a bounce to `address` goes to. Raises InvalidAddress."""
        local, _, _ = address.rpartition("@")
        if not self.is_ours(address) or not local[5:]:
            raise InvalidAddress("not an SRS address of this domain")
        if local[3] == "0":
            return self._reverse0(local[5:], now)
        return self._reverse1(local[5:])

    def _srs1(self, host: str, tail: str) -> str:
        # SRS1 needs no time stamp: that of the SRS0 within bounds it.
        mark = self._hash(self._secrets[0], host, tail)
        return f"SRS1={mark}={host}={tail}@{self._domain}"

    def _reverse0(self, rest: str, now: float) -> str:
        parts = rest.split("=", 3)
        if len(parts) != 4 or not parts[2] or not parts[3]:
            raise InvalidAddress("an SRS address with parts missing")
        mark, stamp, domain, local = parts
        self._verify(mark, stamp.lower(), domain, local)
        if _age(stamp, now) > MAX_AGE:
            raise InvalidAddress(f"an SRS address older than {MAX_AGE} days")
        return f"{local}@{domain}"

    def _reverse1(self, rest: str) -> str:
        parts = rest.split("=", 2)
        if len(parts) != 3 or not parts[1] or parts[2][:1] not in tuple(SEPARATORS):
            raise InvalidAddress("an SRS address with parts missing")
        mark, host, tail = parts
        self._verify(mark, host, tail)
        return f"SRS0{tail}@{host}"

    def _verify(self, mark: str, *parts: str) -> None:
        given = mark.lower().encode("utf-8")
        for secret in self._secrets:
            if hmac.compare_digest(self._hash(secret, *parts).encode("ascii"), given):
                return
        raise InvalidAddress("an SRS address that we did not make")

    def _hash(self, secret: bytes, *parts: str) -> str:
        # Some servers fold the case of local-parts, so neither mark nor input may depend on it.
        text = "\0".join(parts).lower().encode("utf-8", "surrogateescape")
        digest = hmac.new(secret, text, hashlib.sha256).digest()
        return b32encode(digest)[:HASH_CHARS].decode("ascii").lower()


def _stamp(now: float) -> str:
    day = int(now // DAY) % SLOTS
    return ALPHABET[day >> 5] + ALPHABET[day & 31]


def _age(stamp: str, now: float) -> int:
    text = stamp.lower()
    if len(text) != 2 or text[0] not in ALPHABET or text[1] not in ALPHABET:
        raise InvalidAddress("an SRS address without a time stamp")
    then = ALPHABET.index(text[0]) << 5 | ALPHABET.index(text[1])
    age = (int(now // DAY) - then) % SLOTS
    return 0 if age == SLOTS - 1 else age  # a clock that went back over midnight
