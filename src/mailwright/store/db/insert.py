"""INSERT with many rows in a statement: one call into the database where there would be one for each row."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from mailwright.store.db.api import Row, Transaction, Value

_MOST = 64  # rows in one statement, which has to stay below 32,766 parameters


def insert(tx: Transaction, into: str, rows: Sequence[Sequence[Value]], then: str = "") -> list[Row]:
    """Insert rows `into` a table, `name (column, ...)`; what a RETURNING in `then` gives, in any order.

    `into` and `then` are SQL and never hold what a peer sent.
    """
    found: list[Row] = []
    start = 0
    while start < len(rows):
        # Powers of two, so that few statements are ever prepared.
        count = min(_MOST, 1 << ((len(rows) - start).bit_length() - 1))
        values = [value for row in rows[start : start + count] for value in row]
        statement = _statement(into, len(rows[0]), count, then)
        if "RETURNING" in then:
            found += tx.all(statement, *values)
        else:
            tx.run(statement, *values)
        start += count
    return found


@functools.lru_cache(maxsize=256)
def _statement(into: str, columns: int, rows: int, then: str) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"INSERT INTO {into} VALUES {', '.join([row] * rows)} {then}"  # noqa: S608
