"""What is due, without looking at every recipient: the lanes and their sums. All are store operations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from mailwright.queue.planner import FRESH, RETRY, Lane
from mailwright.store.db.api import Row, Transaction
from mailwright.store.db.insert import select_tuples

ANY_ACCOUNT: Final = -1
ANY_DESTINATION: Final = "*"
_MANY: Final = 400  # values in one IN (...)


def touch(tx: Transaction, lanes: Iterable[tuple[Lane, float]]) -> None:
    """Something in these lanes is due at these times."""
    rows: dict[tuple[int, int, str], float] = {}
    for (tier, account, destination), at in lanes:
        sums = (
            (tier, account, destination),
            (tier, account, ANY_DESTINATION),
            (tier, ANY_ACCOUNT, destination),
        )
        for key in sums:
            rows[key] = min(at, rows.get(key, at))
    if not rows:
        return
    # In one order everywhere (see `_lock`), so that two processes do not wait for each other.
    tx.many(
        "INSERT INTO queue_lanes (tier, account, destination, next_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (tier, account, destination) DO UPDATE SET next_at = excluded.next_at"
        " WHERE queue_lanes.next_at > excluded.next_at",
        [(*key, rows[key]) for key in sorted(rows)],
    )


def due_lanes(
    tx: Transaction,
    now: float,
    full_destinations: Sequence[str],
    full_accounts: Sequence[int],
    limit: int = 64,
) -> list[Lane]:
    """Lanes in which something is due, those that waited longest first, fair to accounts and to destinations."""
    lanes: list[list[Lane]] = []
    for tier in (FRESH, RETRY):
        lanes.append(_due_by(tx, _BY_ACCOUNT, tier, now, full_accounts, full_destinations, limit))
        lanes.append(_due_by(tx, _BY_DESTINATION, tier, now, full_destinations, full_accounts, limit))
    ordered: dict[Lane, None] = {}
    for n in range(max(len(row) for row in lanes)):
        for row in lanes:
            if n < len(row):
                ordered[row[n]] = None
    return list(ordered)


_BY_ACCOUNT: Final = ("account", "destination", ANY_DESTINATION)
_BY_DESTINATION: Final = ("destination", "account", ANY_ACCOUNT)


def _due_by(
    tx: Transaction,
    words: tuple[str, str, str | int],
    tier: int,
    now: float,
    full: Sequence[str | int],
    full_others: Sequence[str | int],
    limit: int,
) -> list[Lane]:
    """The due lanes of the `limit` keys that waited longest; each key gives its share of them."""
    key, other, sums = words
    heads = tx.all(
        f"SELECT {key} FROM queue_lanes WHERE tier = ? AND {other} = ? AND next_at <= ?"  # noqa: S608
        f"{_not_in(key, full)} ORDER BY next_at LIMIT ?",
        tier,
        sums,
        now,
        *full[:_MANY],
        limit,
    )
    share = max(1, limit // len(heads)) if heads else 0
    columns: list[list[Row]] = [
        tx.all(
            f"SELECT tier, account, destination FROM queue_lanes WHERE tier = ? AND {key} = ?"  # noqa: S608
            " AND next_at <= ?"
            f" AND {other} <> ?{_not_in(other, full_others)} ORDER BY next_at LIMIT ?",
            tier,
            head,
            now,
            sums,
            *full_others[:_MANY],
            share,
        )
        for (head,) in heads
    ]
    return [Lane(*rows[n]) for n in range(share) for rows in columns if n < len(rows)]


def _not_in(column: str, values: Sequence[object]) -> str:
    marks = ", ".join("?" * min(len(values), _MANY))
    return f" AND {column} NOT IN ({marks})" if values else ""


def next_due(tx: Transaction) -> float | None:
    """When the next recipient is due or a deadline passes; None for an empty queue. It may be early."""
    times = [
        tx.one(
            "SELECT next_at FROM queue_lanes WHERE tier = ? AND destination = ? ORDER BY next_at LIMIT 1",
            tier,
            ANY_DESTINATION,
        )
        for tier in (FRESH, RETRY)
    ]
    times.append(
        tx.one(
            "SELECT deadline_at FROM queue_recipients WHERE held = 0 AND owner = '' ORDER BY deadline_at LIMIT 1"
        )
    )
    return min((float(row[0]) for row in times if row is not None), default=None)


def refresh(tx: Transaction, lanes: Sequence[Lane], now: float) -> None:
    """Set the lanes to their next time, at least `now`: who was served goes behind those who wait."""
    _lock(tx, lanes)
    for lane in lanes:
        row = tx.one(
            "SELECT due_at FROM queue_recipients WHERE held = 0 AND owner = '' AND tier = ? AND destination = ?"
            " AND account = ? ORDER BY due_at LIMIT 1",
            lane.tier,
            lane.destination,
            lane.account,
        )
        _set_lane(tx, lane.tier, lane.account, lane.destination, row, now)
    for tier, account in sorted({(lane.tier, lane.account) for lane in lanes}):
        _refresh_sum(tx, tier, "account", account, "destination", ANY_DESTINATION, now)
    for tier, destination in sorted({(lane.tier, lane.destination) for lane in lanes}):
        _refresh_sum(tx, tier, "destination", destination, "account", ANY_ACCOUNT, now)


def _lock(tx: Transaction, lanes: Sequence[Lane]) -> None:
    """Wait for those who touch these lanes just now, so that what they queue is seen, or they wait for us.

    In the order of `touch`, so that nobody waits in a circle.
    """
    if not tx.dialect.for_update or not lanes:
        return
    keys = {(lane.tier, lane.account, lane.destination) for lane in lanes}
    keys |= {(lane.tier, lane.account, ANY_DESTINATION) for lane in lanes}
    keys |= {(lane.tier, ANY_ACCOUNT, lane.destination) for lane in lanes}
    select_tuples(
        tx,
        "SELECT 1 FROM queue_lanes WHERE (tier, account, destination) IN",
        sorted(keys),
        f'ORDER BY tier, account, destination COLLATE "C"{tx.dialect.for_update}',
    )


def _refresh_sum(
    tx: Transaction, tier: int, key: str, value: int | str, other: str, sums: int | str, now: float
) -> None:
    row = tx.one(
        f"SELECT next_at FROM queue_lanes WHERE tier = ? AND {key} = ? AND {other} <> ?"  # noqa: S608
        " ORDER BY next_at LIMIT 1",
        tier,
        value,
        sums,
    )
    account, destination = (value, sums) if key == "account" else (sums, value)
    _set_lane(tx, tier, int(account), str(destination), row, now)


def _set_lane(
    tx: Transaction, tier: int, account: int, destination: str, first: Row | None, now: float
) -> None:
    where = "WHERE tier = ? AND account = ? AND destination = ?"
    if first is None:
        tx.run(f"DELETE FROM queue_lanes {where}", tier, account, destination)  # noqa: S608
    else:
        at = max(float(first[0]), now)
        tx.run(f"UPDATE queue_lanes SET next_at = ? {where}", at, tier, account, destination)  # noqa: S608


def rest(tx: Transaction, destination: str, until: float) -> None:
    """Let a destination that cannot be reached rest: its lanes are not due before `until`."""
    where = "tier IN (0, 1) AND destination = ? AND next_at < ?"
    if tx.dialect.for_update:
        sql = f"SELECT tier, account, destination FROM queue_lanes WHERE {where}"  # noqa: S608
        _lock(tx, [Lane(*row) for row in tx.all(sql, destination, until)])
    rows = tx.all(
        f"UPDATE queue_lanes SET next_at = ? WHERE {where} RETURNING tier, account",  # noqa: S608
        until,
        destination,
        until,
    )
    for tier, account in sorted(rows):
        if account != ANY_ACCOUNT:
            _refresh_sum(tx, tier, "account", account, "destination", ANY_DESTINATION, 0.0)
