"""Evaluates search programs over the store's rows, and over the text of messages where nothing cheaper decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, NamedTuple

from mailwright.imap.syntax import search as keys
from mailwright.imap.syntax.sequence import Range, contains
from mailwright.imap.view import Key
from mailwright.message.date import parse_date
from mailwright.message.fold import fold
from mailwright.message.parser import parse_message
from mailwright.message.search import SearchText, search_text
from mailwright.store.db.api import Transaction
from mailwright.store.messages import read_joined

SLICE_ROWS: Final = 500  # messages looked at in one go by a reader
TEXT_OCTETS: Final = 8 * 1024 * 1024  # of a message, encoded, that are searched
_DAY: Final = 86400
_ZONES: Final = 15 * 3600  # seconds that a local date may be off UTC
_COLUMNS: Final = (
    "p.uid, p.flags, p.keywords, p.modseq, p.internal_date, p.saved_at, m.size, m.sent_at, m.blob"
)


class Wanted(NamedTuple):
    """A program whose message sets are resolved to UIDs, with what else it depends on."""

    key: keys.Key
    now: int  # seconds since the epoch
    recents: tuple[Range, ...]


class Found(NamedTuple):
    """UIDs, rising, and the highest mod-sequence among them (0 for none)."""

    uids: list[int]
    modseq: int


def message_sets(key: keys.Key) -> list[keys.Messages | keys.Uids]:
    """All message sets of a program."""
    found: list[keys.Messages | keys.Uids] = []
    waiting = [key]
    while waiting:
        one = waiting.pop()
        if isinstance(one, keys.Messages | keys.Uids):
            found.append(one)
        waiting.extend(_below(one))
    return found


def _below(key: keys.Key) -> tuple[keys.Key, ...]:
    if isinstance(key, keys.And):
        return key.keys
    if isinstance(key, keys.Or):
        return key.first, key.second
    if isinstance(key, keys.Not | keys.Fuzzy):
        return (key.key,)
    return ()


def prepare(key: keys.Key, resolved: dict[keys.Key, list[Range]]) -> keys.Key:
    """The program with its message sets resolved, texts folded, and the cheap keys of each AND first."""
    if isinstance(key, keys.Messages | keys.Uids):
        return keys.Resolved(tuple(resolved[key]))
    if isinstance(key, keys.And):
        return keys.And(tuple(sorted([prepare(one, resolved) for one in key.keys], key=cost)))
    if isinstance(key, keys.Or):
        first, second = sorted([prepare(key.first, resolved), prepare(key.second, resolved)], key=cost)
        return keys.Or(first, second)
    if isinstance(key, keys.Not):
        return keys.Not(prepare(key.key, resolved))
    if isinstance(key, keys.Fuzzy):
        return prepare(key.key, resolved)
    if isinstance(key, keys.InText):
        return replace(key, value=fold(key.value))
    if isinstance(key, keys.HasKeyword):
        return keys.HasKeyword(key.keyword.lower())
    return key


def cost(key: keys.Key) -> int:
    """0: decided by the row; 1: by the header; 2: by the whole message."""
    if isinstance(key, keys.InText):
        return 1 if key.where == "header" else 2
    if isinstance(key, keys.OnDay) and key.which == "sent":
        return 1
    return max([cost(one) for one in _below(key)], default=0)


def bounds(key: keys.Key, last: int) -> list[Range]:
    """Ranges of UIDs outside which nothing matches, up to `last`."""
    for one in key.keys if isinstance(key, keys.And) else (key,):
        if isinstance(one, keys.Resolved):
            return [(low, min(high, last)) for low, high in one.ranges if low <= last]
    return [(1, last)] if last else []


class Slice(NamedTuple):
    """What one go found; `next_uid` is where to go on, 0 at the end."""

    found: Found
    next_uid: int


def search_slice(tx: Transaction, key: Key, wanted: Wanted, first: int, last: int) -> Slice:
    """Look at SLICE_ROWS messages from UID `first` on, at most to `last`."""
    uids: list[int] = []
    modseq = 0
    program = wanted.key
    match = _MATCHERS[type(program)]
    budget = SLICE_ROWS if cost(program) else 20 * SLICE_ROWS
    for row in read_joined(tx, *key, first, last, _COLUMNS):
        candidate = Candidate(tx, row, wanted)
        if match(program, candidate):
            uids.append(candidate.uid)
            modseq = max(modseq, candidate.modseq)
        budget -= 1
        if budget == 0:
            return Slice(Found(uids, modseq), candidate.uid + 1)
    return Slice(Found(uids, modseq), 0)


class Candidate:
    """One message that may match; its text is read when a key asks for it."""

    __slots__ = (
        "_text",
        "blob",
        "flags",
        "internal_date",
        "keywords",
        "modseq",
        "saved_at",
        "sent_at",
        "size",
        "tx",
        "uid",
        "wanted",
    )

    def __init__(self, tx: Transaction, row: tuple[Any, ...], wanted: Wanted) -> None:
        self.tx = tx
        self.wanted = wanted
        (
            self.uid,
            self.flags,
            self.keywords,
            self.modseq,
            self.internal_date,
            self.saved_at,
            self.size,
            self.sent_at,
            self.blob,
        ) = row
        self._text: SearchText | None = None

    def text(self) -> SearchText:
        """All that can be found as text, folded."""
        if self._text is None:
            source = b"".join(self.tx.blobs.read(self.tx, self.blob, 0, min(self.size, TEXT_OCTETS)))
            raw = search_text(parse_message(source), source, TEXT_OCTETS)
            headers = [(name, fold(value)) for name, value in raw.headers]
            self._text = raw._replace(headers=headers, body=fold(raw.body))
        return self._text

    def sent_day(self) -> int | None:
        """The day in the Date field, in its own zone (RFC 3501 6.4.4), as days since the epoch."""
        source = b"".join(self.tx.blobs.read(self.tx, self.blob, 0, min(self.size, TEXT_OCTETS)))
        raw = parse_message(source).fields.get(b"date")
        found = parse_date(raw) if raw is not None else None
        return None if found is None else (found[0] + found[1] * 60) // _DAY


Matcher = Callable[[Any, Candidate], bool]


def matches(key: keys.Key, candidate: Candidate) -> bool:
    return _MATCHERS[type(key)](key, candidate)


def _all(key: keys.All, candidate: Candidate) -> bool:
    return True


def _and(key: keys.And, candidate: Candidate) -> bool:
    return all(_MATCHERS[type(one)](one, candidate) for one in key.keys)


def _or(key: keys.Or, candidate: Candidate) -> bool:
    return matches(key.first, candidate) or matches(key.second, candidate)


def _not(key: keys.Not, candidate: Candidate) -> bool:
    return not matches(key.key, candidate)


def _flag(key: keys.HasFlag, candidate: Candidate) -> bool:
    return bool(candidate.flags & key.mask)


def _keyword(key: keys.HasKeyword, candidate: Candidate) -> bool:
    return bool(candidate.keywords) and key.keyword in candidate.keywords.lower().split(" ")


def _recent(key: keys.Recent, candidate: Candidate) -> bool:
    return contains(candidate.wanted.recents, candidate.uid)


def _uids(key: keys.Resolved, candidate: Candidate) -> bool:
    return contains(key.ranges, candidate.uid)


def _size(key: keys.Size, candidate: Candidate) -> bool:
    size: int = candidate.size
    return size > key.octets if key.order == ">" else size < key.octets


def _age(key: keys.Age, candidate: Candidate) -> bool:
    young = bool(candidate.internal_date >= candidate.wanted.now - key.seconds)
    return young is key.younger


def _modseq(key: keys.ModifiedSince, candidate: Candidate) -> bool:
    return bool(candidate.modseq >= key.modseq)


def _day(key: keys.OnDay, candidate: Candidate) -> bool:
    if key.which == "internal":
        return _compare(candidate.internal_date // _DAY, key)
    if key.which == "saved":
        return _compare(candidate.saved_at // _DAY, key)
    sent = candidate.sent_at
    if sent is None:
        return False
    if min(abs(sent - key.day * _DAY), abs(sent - (key.day + 1) * _DAY)) > _ZONES:
        return _compare(sent // _DAY, key)
    day = candidate.sent_day()
    return day is not None and _compare(day, key)


def _compare(day: int, key: keys.OnDay) -> bool:
    if key.order == "<":
        return day < key.day
    return day >= key.day if key.order == ">=" else day == key.day


def _text(key: keys.InText, candidate: Candidate) -> bool:
    text = candidate.text()
    if key.where == "header":
        return any(name == key.name and key.value in value for name, value in text.headers)
    if key.value in text.body:
        return True
    return key.where == "text" and any(
        key.value in value or key.value in f"{name}: {value}" for name, value in text.headers
    )


_MATCHERS: Final[dict[type[keys.Key], Matcher]] = {
    keys.All: _all,
    keys.And: _and,
    keys.Or: _or,
    keys.Not: _not,
    keys.HasFlag: _flag,
    keys.HasKeyword: _keyword,
    keys.Recent: _recent,
    keys.Resolved: _uids,
    keys.Size: _size,
    keys.Age: _age,
    keys.ModifiedSince: _modseq,
    keys.OnDay: _day,
    keys.InText: _text,
}
