"""Canonicalization of RFC 6376 3.4, by operations on whole byte strings."""

from __future__ import annotations

import hashlib
from typing import Final

SIMPLE: Final = "simple"
RELAXED: Final = "relaxed"

_BLANKS: Final = b"\r\n" * 1024


class BodyHasher:
    """The body hash (RFC 6376 3.7), fed in chunks of any size. Holds a few octets at most between two chunks.

    Only CRLF ends a line. `length` is the `l=` tag: no more canonicalized octets than that are hashed.
    """

    __slots__ = ("_blank_lines", "_hash", "_held", "_left", "_relaxed", "size")

    def __init__(self, canonicalization: str = RELAXED, length: int | None = None) -> None:
        self._relaxed: bool = canonicalization == RELAXED
        self._hash = hashlib.sha256()
        self._held: bytes = b""  # the end of a chunk that the next one may change: WSP and CR
        self._blank_lines: int = 0  # CRLFs seen since the last octet hashed
        self._left: int | None = length
        self.size: int = 0  # canonicalized octets so far

    def update(self, data: bytes) -> None:
        """Take the next octets of the body."""
        if self._held:
            data = self._held + data
        end = len(data) - 1 if data.endswith(b"\r") else len(data)
        held = data[end:]
        data = data[:end]
        if self._relaxed:
            stripped = data.rstrip(b" \t")
            if len(stripped) != end:
                held = b" " + held
            data = _reduce_blanks(stripped).replace(b" \r\n", b"\r\n")
        self._held = held
        self._take(data)

    def digest(self) -> bytes:
        """End the body; the SHA-256 of its canonical form."""
        rest = self._held
        if self._relaxed and rest == b" ":
            rest = b""
        self._held = b""
        self._take(rest)
        # A body is closed by exactly one CRLF (3.4.3, 3.4.4), but an empty one stays empty when relaxed.
        if self.size or not self._relaxed:
            self._hash_octets(b"\r\n")
        self._blank_lines = 0
        return self._hash.digest()

    def _take(self, data: bytes) -> None:
        blank_lines = _count_final_crlfs(data)
        content = data[: len(data) - 2 * blank_lines]
        if not content:
            self._blank_lines += blank_lines
            return
        waiting = self._blank_lines
        while waiting > 0:
            self._hash_octets(_BLANKS[: 2 * waiting])
            waiting -= 1024
        self._hash_octets(content)
        self._blank_lines = blank_lines

    def _hash_octets(self, data: bytes) -> None:
        self.size += len(data)
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        self._hash.update(data)


def _reduce_blanks(data: bytes) -> bytes:
    """Each run of WSP as one SP."""
    if b"\t" in data:
        data = data.replace(b"\t", b" ")
    if b"  " in data:
        # Long runs first: a line of n blanks shrinks sixteenfold in each pass.
        while b" " * 16 in data:
            data = data.replace(b" " * 16, b" ")
        while b"  " in data:
            data = data.replace(b"  ", b" ")
    return data


def _count_final_crlfs(data: bytes) -> int:
    """How many CRLFs end the data."""
    if not data.endswith(b"\r\n"):
        return 0
    run = data[len(data.rstrip(b"\r\n")) :]
    # What follows the last doubled CR or LF alternates, hence is CRLFs (after one LF, maybe).
    start = max(run.rfind(b"\n\n"), run.rfind(b"\r\r")) + 1
    return (len(run) - start) // 2


def split_fields(headers: bytes) -> list[bytes]:
    """The header fields of a header section, each without its final CRLF, in order.

    The section ends at the first empty line or with the data. A line that is no field is kept as one.
    """
    end = 0 if headers.startswith(b"\r\n") else headers.find(b"\r\n\r\n")
    if end >= 0:
        headers = headers[:end]
    elif headers.endswith(b"\r\n"):
        headers = headers[:-2]
    if not headers:
        return []
    fields: list[bytes] = []
    current: list[bytes] = []
    for line in headers.split(b"\r\n"):
        if current and line[:1] in (b" ", b"\t"):
            current.append(line)
        else:
            if current:
                fields.append(b"\r\n".join(current))
            current = [line]
    fields.append(b"\r\n".join(current))
    return fields


def field_name(field: bytes) -> bytes:
    """The name of a header field in lower case; b"" when the line is no field."""
    name, colon, _ = field.partition(b":")
    return name.strip(b" \t").lower() if colon else b""


def canonical_field(field: bytes, canonicalization: str) -> bytes:
    """A field as it is hashed, without its final CRLF (RFC 6376 3.4.1, 3.4.2)."""
    if canonicalization == SIMPLE:
        return field
    name, _, value = field.partition(b":")
    value = _reduce_blanks(value.replace(b"\r\n", b"")).strip(b" ")
    return name.strip(b" \t").lower() + b":" + value


def group_fields(fields: list[bytes]) -> dict[bytes, list[bytes]]:
    """The fields by their lower-case name, in order."""
    by_name: dict[bytes, list[bytes]] = {}
    for field in fields:
        by_name.setdefault(field_name(field), []).append(field)
    return by_name


def canonical_headers(by_name: dict[bytes, list[bytes]], names: list[bytes], canonicalization: str) -> bytes:
    """What is hashed of the named fields: of equal names the last first (RFC 6376 5.4.2)."""
    taken: dict[bytes, int] = {}
    parts: list[bytes] = []
    for spelled in names:
        name = spelled.lower()
        fields = by_name.get(name)
        if fields is None:
            continue
        count = taken.get(name, 0)
        if count < len(fields):
            taken[name] = count + 1
            parts.append(canonical_field(fields[-1 - count], canonicalization))
    parts.append(b"")
    return b"\r\n".join(parts)
