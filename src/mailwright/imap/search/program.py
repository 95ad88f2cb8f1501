"""Makes a search program ready: message sets resolved, texts folded, and as much as possible turned into SQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from mailwright.imap.syntax import search as keys
from mailwright.imap.syntax.sequence import Range
from mailwright.message.fold import fold

DAY: Final = 86400
_MAX_RANGES: Final = 20  # of a message set, and
_MAX_KEYS: Final = 100  # of a program, that become SQL; more are looked at message by message
_MAX: Final = 0xFFFF_FFFF


class Sql(NamedTuple):
    """A condition on places (`p.`), and on messages (`m.`) when `joined`; `marking`: on flags and keywords alone."""

    text: str
    params: tuple[int | str, ...] = ()
    joined: bool = False
    marking: bool = False


TRUE: Final = Sql("1 = 1")
FALSE: Final = Sql("1 = 0")


@dataclass(frozen=True, slots=True)
class Plan:
    """How a program is answered: rows from UID `low` to `high` where `where` holds, and `rest` for each of them.

    `marks` is what else is asked of flags and keywords. `needs_rows`: the rest looks at flags, dates or sizes too.
    `texts` are its text keys.
    """

    low: int
    high: int
    where: Sql
    marks: Sql | None
    rest: keys.Key | None
    needs_rows: bool
    texts: tuple[keys.InText, ...]
    now: int  # seconds since the epoch
    recents: tuple[Range, ...]
    with_modseq: bool


def message_sets(key: keys.Key) -> list[keys.Messages | keys.Uids]:
    """All message sets of a program."""
    return [one for one in walk(key) if isinstance(one, keys.Messages | keys.Uids)]


def walk(key: keys.Key) -> Iterator[keys.Key]:
    """A program's keys, each before those below it."""
    waiting = [key]
    while waiting:
        one = waiting.pop()
        yield one
        waiting.extend(_below(one))


def _below(key: keys.Key) -> tuple[keys.Key, ...]:
    if isinstance(key, keys.And):
        return key.keys
    if isinstance(key, keys.Or):
        return key.first, key.second
    if isinstance(key, keys.Not | keys.Fuzzy):
        return (key.key,)
    return ()


def pin(key: keys.Key, resolved: dict[keys.Key, list[Range]]) -> keys.Key:
    """The program with the messages in place of their sequence numbers, which mean others later."""
    if isinstance(key, keys.Messages):
        return keys.Resolved(tuple(resolved[key]))
    if isinstance(key, keys.And):
        return keys.And(tuple([pin(one, resolved) for one in key.keys]))
    if isinstance(key, keys.Or):
        return keys.Or(pin(key.first, resolved), pin(key.second, resolved))
    if isinstance(key, keys.Not):
        return keys.Not(pin(key.key, resolved))
    return keys.Fuzzy(pin(key.key, resolved)) if isinstance(key, keys.Fuzzy) else key


def prepare(key: keys.Key, resolved: dict[keys.Key, list[Range]]) -> keys.Key:
    """The program with its message sets resolved, texts folded, and the cheap keys of each AND and OR first."""
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
        value = fold(key.value)
        # RFC 3501 6.4.4: an empty string is in every text; of a field it asks only whether it is there.
        return keys.All() if not value and key.where != "header" else replace(key, value=value)
    if isinstance(key, keys.HasKeyword):
        return keys.HasKeyword(key.keyword.lower())
    return key


def cost(key: keys.Key) -> int:
    """0: decided by the row; 1: by the header; 2: by the body."""
    if isinstance(key, keys.InText):
        return 1 if key.where == "header" else 2
    return max([cost(one) for one in _below(key)], default=0)


def make_plan(
    key: keys.Key, last: int, now: int, recents: tuple[Range, ...], with_modseq: bool = False
) -> Plan:
    """The plan for a prepared program over the UIDs up to `last`."""
    low, high = 1, last
    where: list[Sql] = []
    rest: list[keys.Key] = []
    for one in key.keys if isinstance(key, keys.And) else (key,):
        if isinstance(one, keys.Resolved):
            low = max(low, one.ranges[0][0] if one.ranges else _MAX)
            high = min(high, one.ranges[-1][1] if one.ranges else 0)
            if len(one.ranges) == 1:
                continue
        sql = to_sql(one, now) if len(where) < _MAX_KEYS else None
        if sql is None:
            rest.append(one)
        elif sql != TRUE and sql not in where:
            where.append(sql)
    marks = [sql for sql in where if sql.marking]
    program = None if not rest else rest[0] if len(rest) == 1 else keys.And(tuple(rest))
    below = list(walk(program)) if program is not None else []
    return Plan(
        low,
        high,
        _join([sql for sql in where if not sql.marking], "AND"),
        _join(marks, "AND") if marks else None,
        program,
        any(not isinstance(one, _WITHOUT_ROW) for one in below),
        tuple(dict.fromkeys(one for one in below if isinstance(one, keys.InText))),
        now,
        recents,
        with_modseq,
    )


_WITHOUT_ROW: Final = (keys.InText, keys.And, keys.Or, keys.Not, keys.All, keys.Resolved, keys.Recent)


def to_sql(key: keys.Key, now: int) -> Sql | None:
    """A key as a condition that is true for just the messages that match; None when it cannot be said so."""
    if any(n >= _MAX_KEYS or isinstance(one, keys.InText | keys.Recent) for n, one in enumerate(walk(key))):
        return None
    return _sql(key, now)


def _sql(key: keys.Key, now: int) -> Sql | None:
    if isinstance(key, keys.And | keys.Or):
        parts = [_sql(one, now) for one in _below(key)]
        known = [part for part in parts if part is not None]
        return (
            _join(known, "AND" if isinstance(key, keys.And) else "OR") if len(known) == len(parts) else None
        )
    if isinstance(key, keys.Not):
        inner = _sql(key.key, now)
        return None if inner is None else inner._replace(text=f"NOT ({inner.text})")
    return _leaf(key, now)


def _leaf(key: keys.Key, now: int) -> Sql | None:
    if isinstance(key, keys.All):
        return TRUE
    if isinstance(key, keys.HasFlag):
        return Sql(f"(p.flags & {key.mask}) <> 0", marking=True)
    if isinstance(key, keys.HasKeyword):
        escaped = key.keyword.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return Sql("(' ' || lower(p.keywords) || ' ') LIKE ? ESCAPE '\\'", (f"% {escaped} %",), marking=True)
    if isinstance(key, keys.Resolved):
        return _ranges(key.ranges)
    if isinstance(key, keys.Size):
        return Sql(f"m.size {key.order} ?", (key.octets,), True)
    if isinstance(key, keys.Age):
        return Sql(f"p.internal_date {'>=' if key.younger else '<='} ?", (now - key.seconds,))
    if isinstance(key, keys.ModifiedSince):
        return Sql("p.modseq >= ?", (key.modseq,))
    if isinstance(key, keys.OnDay):
        return _on_day(key)
    if isinstance(key, keys.HasId):
        if key.which == "emailid":
            return Sql("p.message = ?", (key.number,))
        return Sql("m.thread = ?", (key.number,), True)
    return None


def _ranges(ranges: tuple[Range, ...]) -> Sql | None:
    if len(ranges) > _MAX_RANGES:
        return None
    if not ranges:
        return FALSE
    text = " OR ".join(["p.uid BETWEEN ? AND ?"] * len(ranges))
    return Sql(f"({text})", tuple(number for pair in ranges for number in pair))


SENT: Final = "m.sent_at + 60 * m.sent_zone"  # RFC 3501 6.4.4: in the sender's own zone; NULL: not known
_TIMES: Final = {"internal": "p.internal_date", "saved": "p.saved_at", "sent": SENT}


def _on_day(key: keys.OnDay) -> Sql:
    time, first, last = _TIMES[key.which], key.day * DAY, (key.day + 1) * DAY
    if key.order == "<":
        sql = Sql(f"{time} < ?", (first,))
    elif key.order == ">=":
        sql = Sql(f"{time} >= ?", (first,))
    else:
        sql = Sql(f"({time} >= ? AND {time} < ?)", (first, last))
    if key.which == "sent":  # what has no such day does not match, and matches NOT
        sql = Sql(f"(m.sent_at IS NOT NULL AND {sql.text})", sql.params, joined=True)
    return sql


def _join(found: Sequence[Sql], word: str) -> Sql:
    if not found:
        return TRUE
    text = f" {word} ".join(f"({part.text})" for part in found)
    params = tuple(param for part in found for param in part.params)
    joined = any(part.joined for part in found)
    return Sql(text, params, joined, all(part.marking for part in found))
