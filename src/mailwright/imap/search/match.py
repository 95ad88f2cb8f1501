"""Decides of one message whether it matches the part of a program that SQL did not decide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mailwright.imap.search.program import DAY, SENT, Plan
from mailwright.imap.search.texts import Texts
from mailwright.imap.syntax import search as keys
from mailwright.imap.syntax.sequence import contains
from mailwright.store.db.api import Row, Transaction

COLUMNS: Final = "p.uid, p.message, p.modseq"
ROW_COLUMNS: Final = f"{COLUMNS}, p.flags, p.keywords, p.internal_date, p.saved_at, m.size, {SENT}, m.thread"


class Candidate:
    """One message that may match. `row` holds COLUMNS, or ROW_COLUMNS when the plan needs rows."""

    __slots__ = ("message", "plan", "row", "texts", "tx", "uid")

    def __init__(self, tx: Transaction, plan: Plan, texts: Texts, row: Row) -> None:
        self.tx = tx
        self.plan = plan
        self.texts = texts
        self.row = row
        self.uid: int = row[0]
        self.message: int = row[1]


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


def _recent(key: keys.Recent, candidate: Candidate) -> bool:
    return contains(candidate.plan.recents, candidate.uid)


def _uids(key: keys.Resolved, candidate: Candidate) -> bool:
    return contains(key.ranges, candidate.uid)


def _text(key: keys.InText, candidate: Candidate) -> bool:
    return candidate.texts.holds(candidate.message, key)


def _modseq(key: keys.ModifiedSince, candidate: Candidate) -> bool:
    return bool(candidate.row[2] >= key.modseq)


def _flag(key: keys.HasFlag, candidate: Candidate) -> bool:
    return bool(candidate.row[3] & key.mask)


def _keyword(key: keys.HasKeyword, candidate: Candidate) -> bool:
    return key.keyword in candidate.row[4].lower().split(" ")


def _age(key: keys.Age, candidate: Candidate) -> bool:
    then: int = candidate.plan.now - key.seconds
    date: int = candidate.row[5]
    return date >= then if key.younger else date <= then


def _size(key: keys.Size, candidate: Candidate) -> bool:
    size: int = candidate.row[7]
    return size > key.octets if key.order == ">" else size < key.octets


def _day(key: keys.OnDay, candidate: Candidate) -> bool:
    if key.which == "internal":
        return _compare(candidate.row[5] // DAY, key)
    if key.which == "saved":
        return _compare(candidate.row[6] // DAY, key)
    sent = candidate.row[8]
    return sent is not None and _compare(sent // DAY, key)


def _id(key: keys.HasId, candidate: Candidate) -> bool:
    return bool(candidate.row[1 if key.which == "emailid" else 9] == key.number)


def _compare(day: int, key: keys.OnDay) -> bool:
    if key.order == "<":
        return day < key.day
    return day >= key.day if key.order == ">=" else day == key.day


Matcher = Callable[[Any, Candidate], bool]
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
    keys.HasId: _id,
}
