"""Whether a message holds a text: the index names candidates, the folded text decides; what is not indexed is read."""

from __future__ import annotations

from typing import Final, NamedTuple

from mailwright.imap.syntax import search as keys
from mailwright.store import search
from mailwright.store.db.api import Transaction
from mailwright.store.reading import read_message

_MOST: Final = 500_000  # candidates of all keys together that are kept; without them the text alone decides
_FEW: Final = 2000  # messages that are looked up one by one; if more may match, the mailbox is walked through


class Hits(NamedTuple):
    """What the index says of text keys: the messages up to id `indexed` that may match; None: any may."""

    indexed: int
    candidates: dict[keys.InText, set[int] | None]


def read_hits(tx: Transaction, account: int, texts: tuple[keys.InText, ...]) -> Hits | None:
    """None when the account has no index."""
    indexed = search.read_indexed(tx, account)
    if indexed is None:
        return None
    candidates: dict[keys.InText, set[int] | None] = {}
    room = _MOST
    for key in texts:
        # Of a field with an empty value, its name is what to look for: the index holds names too.
        found = search.candidates(tx, account, key.value or key.name) if room > 0 else None
        candidates[key] = found
        room -= len(found or ())
    return Hits(indexed, candidates)


def narrow(key: keys.Key, hits: Hits) -> set[int] | None:
    """The indexed messages that may match a program; None when any may."""
    if isinstance(key, keys.InText):
        return hits.candidates[key]
    if isinstance(key, keys.And):
        found = [one for one in (narrow(below, hits) for below in key.keys) if one is not None]
        return min(found, key=len).intersection(*found) if found else None
    if isinstance(key, keys.Or):
        first, second = narrow(key.first, hits), narrow(key.second, hits)
        return None if first is None or second is None else first | second
    return None


class Chosen(NamedTuple):
    """The messages to look at: those of `few`, or those in `indexed` or above `limit`; all when both are None."""

    few: list[int] | None = None
    indexed: set[int] | None = None
    limit: int = 0


def choose(tx: Transaction, account: int, rest: keys.Key, hits: Hits | None, count: int) -> Chosen:
    """Narrow a search in a mailbox of `count` messages to what the index lets through and what it does not know."""
    found = narrow(rest, hits) if hits is not None else None
    if hits is None or found is None:
        return Chosen()
    most = min(_FEW, count // 8)
    if len(found) <= most:
        waiting = search.read_waiting(tx, account, most + 1)
        if len(waiting) <= most:
            return Chosen(few=[*found, *[message for message, *_ in waiting]])
    return Chosen(indexed=found, limit=hits.indexed)


class Texts:
    """The texts of messages in one transaction; the last one read is kept."""

    __slots__ = ("_body", "_hits", "_indexed", "_lines", "_message", "_needles", "_tx")

    def __init__(self, tx: Transaction, account: int, hits: Hits | None) -> None:
        self._tx = tx
        self._hits = hits
        indexed = search.read_indexed(tx, account)
        self._indexed = 0 if indexed is None else indexed
        self._message = 0
        self._body: bytes | None = None
        self._lines: list[tuple[str, str]] | None = None
        self._needles: dict[str, bytes] = {}

    def holds(self, message: int, key: keys.InText) -> bool:
        """Whether the message holds the text of this key."""
        hits = self._hits
        if hits is not None and message <= hits.indexed:
            candidates = hits.candidates[key]
            if candidates is not None and message not in candidates:
                return False
        if message != self._message:
            self._message, self._body, self._lines = message, None, None
        if key.where != "header" and self._octets(key.value) in self._read_body():
            return True
        if key.where == "body":
            return False
        if key.where == "header":
            # "" names no field, but stands before the headers of parts.
            return key.name != "" and any(
                name == key.name and key.value in value for name, value in self._read_lines()
            )
        return any(key.value in f"{name}: {value}" for name, value in self._read_lines())

    def _octets(self, needle: str) -> bytes:
        octets = self._needles.get(needle)
        if octets is None:
            octets = self._needles[needle] = needle.encode("utf-8", "surrogatepass")
        return octets

    def _read_body(self) -> bytes:
        if self._body is None and self._message <= self._indexed:
            self._body = search.read_body(self._tx, self._message)
        if self._body is None:
            self._read_source()
        assert self._body is not None
        return self._body

    def _read_lines(self) -> list[tuple[str, str]]:
        if self._lines is None and self._message <= self._indexed:
            self._lines = search.read_header(self._tx, self._message)
        if self._lines is None:
            self._read_source()
        assert self._lines is not None
        return self._lines

    def _read_source(self) -> None:
        row = read_message(self._tx, self._message, "blob, size")
        self._body, self._lines = b"", []
        if row is not None:
            text = search.fold_blob(self._tx, *row)
            self._body, self._lines = text.body.encode("utf-8", "surrogatepass"), text.headers
