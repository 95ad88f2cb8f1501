"""Statements about many rows, on every database."""

from __future__ import annotations

import pytest

from mailwright.store.db.api import Database, Transaction
from mailwright.store.db.insert import insert, insert_numbered, select

TRACES = "traces (message_id, at, account, reverse_path)"


def rows(count: int) -> list[tuple[str, int, int, str]]:
    """In an order that is none of the values'."""
    return [(f"{n * 7 % 101}@example.org", n, 1, "") for n in range(count)]


@pytest.mark.parametrize("count", [0, 1, 16, 17, 100])
async def test_the_numbers_of_rows_come_in_their_order(db: Database, count: int) -> None:
    def run(tx: Transaction) -> None:
        insert(tx, TRACES, rows(3))
        ids = insert_numbered(tx, TRACES, rows(count))
        assert ids == sorted(ids)
        stored: dict[int, str] = dict(tx.all("SELECT id, message_id FROM traces"))
        assert [stored[number] for number in ids] == [message_id for message_id, *_ in rows(count)]
        assert len(stored) == 3 + count

    await db.write(run)


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 100])
async def test_each_key_is_found_once(db: Database, count: int) -> None:
    def run(tx: Transaction) -> None:
        insert(tx, TRACES, rows(100))
        wanted = [message_id for message_id, *_ in rows(count)]
        found = select(tx, "SELECT message_id FROM traces WHERE message_id IN", wanted)
        assert sorted(message_id for (message_id,) in found) == sorted(wanted)

    await db.write(run)
