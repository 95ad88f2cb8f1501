"""Statements about many rows: one call into the database where there would be one for each row."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TypeVar

from mailwright.store.db.api import Row, Transaction, Value

Key = TypeVar("Key")

_MOST = 32  # rows in one statement: each number of them is a statement of its own, of which not too many are prepared
_MOST_KEYS = 64


def insert(tx: Transaction, into: str, rows: Sequence[Sequence[Value]], then: str = "") -> list[Row]:
    """Insert rows `into` a table, `name (column, ...)`; what a RETURNING in `then` gives, in any order.

    `into` and `then` are SQL and never hold what a peer sent.
    """
    found: list[Row] = []
    start = 0
    # To be ready to undo one statement alone SQLite copies all pages it changes; here what fails undoes the operation.
    verb = "INSERT OR FAIL" if tx.dialect.name == "sqlite" else "INSERT"
    while start < len(rows):
        count = min(_MOST, len(rows) - start)
        values = [value for row in rows[start : start + count] for value in row]
        statement = _statement(verb, into, len(rows[0]), count, then)
        if "RETURNING" in then:
            found += tx.all(statement, *values)
        else:
            tx.run(statement, *values)
        start += count
    return found


def insert_numbered(tx: Transaction, into: str, rows: Sequence[Sequence[Value]]) -> list[int]:
    """`insert` into a table that numbers its rows; their ids, in the order of the rows.

    By the first column it is checked that the database numbered them so.
    """
    if tx.dialect.name == "sqlite":  # it has one writer, so nobody else takes a number meanwhile
        insert(tx, into, rows)
        last = tx.last_number()
        return list(range(last - len(rows) + 1, last + 1))
    column = into[into.index("(") + 1 : into.index(",")]
    found = sorted(insert(tx, into, rows, f"RETURNING id, {column}"))
    if [value for _, value in found] != [row[0] for row in rows]:
        raise AssertionError("the database numbers rows in another order than they were given")
    return [number for number, _ in found]


@functools.lru_cache(maxsize=1024)
def _statement(verb: str, into: str, columns: int, rows: int, then: str) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"{verb} INTO {into} VALUES {', '.join([row] * rows)} {then}"


def update(tx: Transaction, change: str, where: str, rows: Sequence[Sequence[Value]]) -> None:
    """Change rows by a statement `UPDATE ... SET ...` and its condition, in which `{1}` is the first value of each.

    `change` and `where` are SQL and never hold what a peer sent.
    """
    if tx.dialect.name == "sqlite":  # which would make a table of the values first
        if rows:
            tx.many(_each(change, where, len(rows[0])), rows)
        return
    for start in range(0, len(rows), _MOST):
        part = rows[start : start + _MOST]
        values = [value for row in part for value in row]
        tx.run(_together(change, where, len(part[0]), len(part)), *values)


@functools.lru_cache(maxsize=64)
def _each(change: str, where: str, columns: int) -> str:
    return f"{change} WHERE {where}".format("", *[f"?{n + 1}" for n in range(columns)])


@functools.lru_cache(maxsize=1024)
def _together(change: str, where: str, columns: int, rows: int) -> str:
    row = f"({', '.join('?' * columns)})"
    source = f"FROM (VALUES {', '.join([row] * rows)}) AS v"
    return f"{change} {source} WHERE {where}".format("", *[f"v.column{n + 1}" for n in range(columns)])


def select(tx: Transaction, sql: str, keys: Sequence[Value], then: str = "") -> list[Row]:
    """The rows of a statement about these keys: `sql` ends with `WHERE key IN`.

    `sql` and `then` are SQL and never hold what a peer sent. It may be a DELETE with RETURNING in `then`.
    """
    found: list[Row] = []
    for start in range(0, len(keys), _MOST_KEYS):
        part = _filled(keys[start : start + _MOST_KEYS])
        found += tx.all(f"{sql} ({', '.join('?' * len(part))}) {then}", *part)
    return found


def select_tuples(tx: Transaction, sql: str, keys: Sequence[tuple[Value, ...]], then: str = "") -> list[Row]:
    """As `select`, for keys of several columns: `sql` ends with `WHERE (key, key) IN`."""
    found: list[Row] = []
    if tx.dialect.name == "sqlite" and not then:  # which would make a table of the keys first
        for key in dict.fromkeys(keys):
            found += tx.all(f"{sql.removesuffix('IN')} = ({', '.join('?' * len(key))})", *key)
        return found
    for start in range(0, len(keys), _MOST_KEYS):
        part = _filled(keys[start : start + _MOST_KEYS])
        marks = f"({', '.join('?' * len(part[0]))})"
        values = [value for key in part for value in key]
        found += tx.all(f"{sql} (VALUES {', '.join([marks] * len(part))}) {then}", *values)
    return found


def _filled(keys: Sequence[Key]) -> list[Key]:
    """As many keys as there may be in one of few statements: the last one fills what is left."""
    filled = list(keys)
    room = 1 << (len(filled) - 1).bit_length()
    return filled + filled[-1:] * (room - len(filled))
