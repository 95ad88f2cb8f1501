"""Reading places and their messages: one by one, by ranges, or joined for what asks for many.

`columns` is SQL everywhere, and never holds what a peer sent.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from mailwright.store.db.api import Row, Transaction, Value
from mailwright.store.model import Place
from mailwright.store.sets import ranges

_PLACE = "uid, message, modseq, flags, keywords, internal_date, saved_at"  # the columns of `model.Place`
_TOGETHER = 50  # UIDs that lie apart, in one statement
_MARKS = ", ".join("?" * _TOGETHER)
_IN_RANGE = "WHERE p.account = ? AND p.mailbox = ? AND p.uid >= ? AND p.uid <= ?"
_FEW = 8  # runs of UIDs that are read one by one, however close they lie
NUMBERS = frozenset(("p.uid", "p.modseq", "p.flags", "p.internal_date", "p.message", "m.blob", "m.size"))
_PACKED = frozenset(("envelope", "bodystructure", "structure", "preview"))  # see `blobs.codec`
_NAMES = re.compile(r", (?![^()]*\))")  # between the columns of a list
_MARKED = re.compile(r"\b(flags|keywords|modseq)\b")


@functools.lru_cache(maxsize=256)
def source(sql: str) -> str:
    """From where what this SQL names of places (`p.`) is read: flags, keywords and modseq stand with their marks."""
    return "FROM marked p" if _MARKED.search(sql) else "FROM places p"


def read_uids(
    tx: Transaction, account: int, mailbox: int, first: int = 1, last: int | None = None
) -> Sequence[int]:
    """The UIDs from `first` to `last` (None: the end), rising."""
    key = (account, mailbox)
    row = tx.one(
        "SELECT (SELECT messages FROM mailboxes WHERE account = ? AND id = ?),"
        " (SELECT min(uid) FROM places WHERE account = ? AND mailbox = ?),"
        " (SELECT max(uid) FROM places WHERE account = ? AND mailbox = ?)",
        *key,
        *key,
        *key,
    )
    count, lowest, highest = row if row is not None else (0, None, None)
    if lowest is None:
        return []
    low, high = max(first, lowest), highest if last is None else min(last, highest)
    if highest - lowest + 1 == count:  # nothing was ever taken out
        return range(low, high + 1)
    packed = read_all(tx, *key, low, high, "string_agg(CAST(p.uid AS TEXT), ',')")[0][0]
    return sorted(msgspec.json.decode(f"[{packed or ''}]", type=list[int]))


def read_range(
    tx: Transaction, account: int, mailbox: int, first: int = 1, last: int | None = None
) -> list[Place]:
    """The places from UID `first` to `last` (None: the end), rising."""
    where = "account = ? AND mailbox = ? AND uid >= ?"
    if last is None:
        return _places(tx, where + " ORDER BY uid", account, mailbox, first)
    return _places(tx, where + " AND uid <= ? ORDER BY uid", account, mailbox, first, last)


def read_places(tx: Transaction, account: int, mailbox: int, uids: Sequence[int]) -> list[Place]:
    """The places of these UIDs that exist, rising by UID."""
    found: list[Place] = []
    runs = list(ranges(uids))
    if len(runs) > _FEW and runs[-1][1] - runs[0][0] < 4 * len(uids):
        wanted = set(uids)
        every = read_range(tx, account, mailbox, runs[0][0], runs[-1][1])
        return [place for place in every if place.uid in wanted]
    if len(runs) > _FEW and len(runs) * 4 > len(uids):
        ordered = sorted(set(uids))
        return [Place._make(row) for row in read_some_columns(tx, account, mailbox, ordered, _PLACE)]
    for first, last in runs:
        found += read_range(tx, account, mailbox, first, last)
    return found


def read_joined(
    tx: Transaction, account: int, mailbox: int, first: int, last: int, columns: str
) -> Iterator[Row]:
    """Columns of places (`p.`) and their messages (`m.`) from UID `first` to `last`, rising; for bulk reading."""
    return _read_joined(tx, columns, "p.uid >= ? AND p.uid <= ?", account, mailbox, first, last)


def read_numbers(
    tx: Transaction, account: int, mailbox: int, first: int, last: int, columns: Sequence[str]
) -> list[Row]:
    """As `read_joined`, for some of `NUMBERS`, `p.uid` first: in one step, since each one halts other threads."""
    row = " || ',' || ".join(columns)
    found = tx.one(
        f"SELECT string_agg('' || {row}, ',') {source(row)} JOIN messages m ON m.id = p.message"
        " WHERE p.account = ? AND p.mailbox = ? AND p.uid >= ? AND p.uid <= ?",
        account,
        mailbox,
        first,
        last,
    )
    numbers = iter(msgspec.json.decode(f"[{found[0] or ''}]" if found else "[]", type=list[int]))
    return sorted(zip(*[numbers] * len(columns), strict=True))


def read_some_joined(
    tx: Transaction, account: int, mailbox: int, uids: Sequence[int], columns: str
) -> Iterator[Row]:
    """As `read_joined`, for these UIDs alone, which rise and lie apart."""
    for some in _portions(uids):
        yield from _read_joined(tx, columns, f"p.uid IN ({_MARKS})", account, mailbox, *some)


def _portions(uids: Sequence[int]) -> Iterator[list[int]]:
    """The UIDs, as many at a time as a statement takes; the last ones repeat, so that it is always the same."""
    for start in range(0, len(uids), _TOGETHER):
        some = list(uids[start : start + _TOGETHER])
        yield some + some[-1:] * (_TOGETHER - len(some))


def _read_joined(tx: Transaction, columns: str, where: str, *params: int) -> Iterator[Row]:
    rows = tx.rows(
        f"SELECT {columns} {source(columns)} JOIN messages m ON m.id = p.message"
        f" WHERE p.account = ? AND p.mailbox = ? AND {where} ORDER BY p.uid",
        *params,
    )
    return unpacked(tx, rows, columns)


def read_columns(
    tx: Transaction, account: int, mailbox: int, first: int, last: int, columns: str
) -> list[Row]:
    """As `read_joined`, for columns of places (`p.`) alone."""
    return tx.all(
        f"SELECT {columns} {source(columns)} {_IN_RANGE} ORDER BY p.uid", account, mailbox, first, last
    )


def read_some_columns(
    tx: Transaction, account: int, mailbox: int, uids: Sequence[int], columns: str
) -> list[Row]:
    """As `read_some_joined`, for columns of places (`p.`) alone."""
    sql = (
        f"SELECT {columns} {source(columns)}"
        f" WHERE p.account = ? AND p.mailbox = ? AND p.uid IN ({_MARKS}) ORDER BY p.uid"
    )
    return [row for some in _portions(uids) for row in tx.all(sql, account, mailbox, *some)]


def read_all(
    tx: Transaction, account: int, mailbox: int, first: int, last: int, columns: str, *params: Value
) -> list[Row]:
    """As `read_columns`, in no order: for aggregates of places (`p.`). `params` are those in `columns`."""
    return tx.all(f"SELECT {columns} {source(columns)} {_IN_RANGE}", *params, account, mailbox, first, last)


def read_newest_keywords(tx: Transaction, account: int, mailbox: int, count: int) -> set[str]:
    """The keywords of the last `count` places, as texts."""
    rows = tx.all(
        "SELECT DISTINCT keywords FROM"
        " (SELECT keywords FROM marked WHERE account = ? AND mailbox = ? ORDER BY uid DESC LIMIT ?) AS newest",
        account,
        mailbox,
        count,
    )
    return {keywords for (keywords,) in rows}


def find_unseen(tx: Transaction, account: int, mailbox: int, nth: int, count: int) -> tuple[int, int]:
    """The UID of the `nth` unseen place from the end, and where it stands, counted from the end.

    Both are 0 when it is not among the last `count`.
    """
    newest = (
        "(SELECT uid, mark FROM places WHERE account = ? AND mailbox = ? ORDER BY uid DESC LIMIT ?) AS newest"
    )
    unseen = "SELECT id FROM marks WHERE account = ? AND mailbox = ? AND (flags & 1) = 0"
    row = tx.one(
        f"SELECT uid FROM {newest} WHERE mark IN ({unseen}) ORDER BY uid DESC LIMIT 1 OFFSET ?",  # noqa: S608
        *(account, mailbox, count),
        *(account, mailbox),
        nth - 1,
    )
    if row is None:
        return 0, 0
    (stands,) = tx.one(
        "SELECT count(*) FROM places WHERE account = ? AND mailbox = ? AND uid >= ?", account, mailbox, row[0]
    ) or (0,)
    return int(row[0]), int(stands)


def read_message(tx: Transaction, message: int, columns: str) -> Row | None:
    """Columns of one message; `columns` is SQL and never holds what a peer sent."""
    row = tx.one(f"SELECT {columns} FROM messages WHERE id = ?", message)  # noqa: S608
    return None if row is None else next(unpacked(tx, (row,), columns))


def unpacked(tx: Transaction, rows: Iterable[Row], columns: str) -> Iterator[Row]:
    """Rows that begin with these columns, with those that are kept packed as they were given."""
    packed = _packed(columns)
    if not packed:
        return iter(rows)
    values: list[Sequence[Any]] = list(zip(*rows, strict=True))
    for place, name in packed if values else ():
        values[place] = tx.blobs.codec.unpack_all(tx, values[place])
        if name == "preview":
            values[place] = [text.decode() for text in values[place]]
    return zip(*values, strict=True)


@functools.lru_cache(maxsize=256)
def _packed(columns: str) -> list[tuple[int, str]]:
    """Which of the columns are kept packed: their places and names."""
    names = [name.removeprefix("m.") for name in _NAMES.split(columns)]
    return [(place, name) for place, name in enumerate(names) if name in _PACKED]


def _places(tx: Transaction, where: str, *params: int) -> list[Place]:
    return [Place._make(row) for row in tx.all(f"SELECT {_PLACE} FROM marked WHERE {where}", *params)]  # noqa: S608
