"""Statements about many rows: one call into the database where there would be one for each row."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from mailwright.store.db.api import Row, Transaction, Value

_MOST = 32  # rows in one statement: each number of them is a statement of its own, of which not too many are prepared
_MOST_KEYS = 64


def insert(tx: Transaction, into: str, rows: Sequence[Sequence[Value]], then: str = "") -> list[Row]:
    """Insert rows `into` a table, `name (column, ...)`; what a RETURNING in `then` gives, in any order.

    `into` and `then` are SQL and never hold what a peer sent.
    """
    found: list[Row] = []
    start = 0
    while start < len(rows):
        count = min(_MOST, len(rows) - start)
        values = [value for row in rows[start : start + count] for value in row]
        statement = _statement(into, len(rows[0]), count, then)
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
def _statement(into: str, columns: int, rows: int, then: str) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"INSERT INTO {into} VALUES {', '.join([row] * rows)} {then}"  # noqa: S608


def update(tx: Transaction, sql: str, rows: Sequence[Sequence[Value]]) -> None:
    """Change rows by a statement `UPDATE ... FROM {} WHERE ...`, in which `v.column1` is the first value of one.

    `sql` never holds what a peer sent.
    """
    for start in range(0, len(rows), _MOST):
        part = rows[start : start + _MOST]
        row = f"({', '.join('?' * len(part[0]))})"
        tx.run(
            sql.format(f"(VALUES {', '.join([row] * len(part))}) AS v"),
            *[value for one in part for value in one],
        )


def select(tx: Transaction, sql: str, keys: Sequence[Value | Sequence[Value]], then: str = "") -> list[Row]:
    """The rows of a statement about these keys: `sql` ends with `WHERE key IN` or `WHERE (key, key) IN`.

    `sql` and `then` are SQL and never hold what a peer sent. It may be a DELETE with RETURNING in `then`.
    """
    found: list[Row] = []
    for start in range(0, len(keys), _MOST_KEYS):
        part = list(keys[start : start + _MOST_KEYS])
        room = 1 << (len(part) - 1).bit_length()  # few statements: the last key fills what is left
        part += part[-1:] * (room - len(part))
        if isinstance(part[0], Sequence) and not isinstance(part[0], str | bytes):
            key_marks = f"({', '.join('?' * len(part[0]))})"
            marks = f"(VALUES {', '.join([key_marks] * room)})"
            values = [value for key in part for value in key]  # type: ignore[union-attr]
        else:
            marks, values = f"({', '.join('?' * room)})", part
        found += tx.all(f"{sql} {marks} {then}", *values)
    return found
