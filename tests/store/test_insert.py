"""Statements about many rows, on every database."""

from __future__ import annotations

import pytest

from mailwright.store.db.api import Database, Transaction
from mailwright.store.db.insert import insert, insert_numbered, select, select_tuples, update

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


@pytest.mark.parametrize("then", ["", "ORDER BY message_id"])
@pytest.mark.parametrize("count", [0, 1, 63, 65])
async def test_each_tuple_is_found_once(db: Database, count: int, then: str) -> None:
    def run(tx: Transaction) -> None:
        insert(tx, TRACES, rows(100))
        wanted = [(message_id, at) for message_id, at, *_ in rows(count)]
        sql = "SELECT message_id, at FROM traces WHERE (message_id, at) IN"
        found = select_tuples(tx, sql, [*wanted, ("no@example.org", 1)], then)
        assert sorted(found) == sorted(wanted)

    await db.write(run)


@pytest.mark.parametrize("count", [0, 1, 32, 40])
async def test_each_row_is_changed_by_its_values(db: Database, count: int) -> None:
    def run(tx: Transaction) -> None:
        insert(tx, TRACES, rows(50))
        changes = [(message_id, at + 100, f"from {at}") for message_id, at, *_ in rows(count)]
        update(
            tx, "UPDATE traces SET account = account + {2}, reverse_path = {3}", "message_id = {1}", changes
        )
        found = tx.all("SELECT at, account, reverse_path FROM traces ORDER BY at")
        changed = [(n, n + 101, f"from {n}") for n in range(count)]
        assert [(int(at), *rest) for at, *rest in found] == changed + [(n, 1, "") for n in range(count, 50)]

    await db.write(run)


async def test_rows_of_which_one_cannot_be_inserted_leave_nothing(db: Database) -> None:
    def run(tx: Transaction) -> None:
        insert(tx, TRACES, [*rows(3), ("x@example.org", None, 1, "")])

    with pytest.raises(Exception, match="at"):
        await db.write(run)
    assert await db.read(lambda tx: tx.all("SELECT 1 FROM traces")) == []
