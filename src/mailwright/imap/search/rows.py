"""Reads the rows that a plan asks for, highest UID first, in portions that leave readers to others.

From the top, because the indexer comes from the bottom: what one has done the other need not do.
"""

from __future__ import annotations

import time
from typing import Final, NamedTuple

import msgspec

from mailwright.imap.search.match import COLUMNS, ROW_COLUMNS, Candidate, matches
from mailwright.imap.search.program import FALSE, TRUE, Plan, Sql
from mailwright.imap.search.texts import Chosen, Hits, Texts, choose, read_hits
from mailwright.imap.view import Key
from mailwright.store.db.api import Row, Transaction
from mailwright.store.reading import source

BLOCK: Final = 50_000  # rows read at a time
_SLICE: Final = 0.05  # seconds of deciding after which others get their turn
_LOOKUPS: Final = 200  # messages in one statement
_MANY_MARKS: Final = 8  # more are not named


class Start(NamedTuple):
    """What is known before the first row is read."""

    hits: Hits | None
    chosen: Chosen


class Block(NamedTuple):
    """Rows, falling by UID; `last` is the UID up to which to go on, 0 at the end."""

    rows: list[Row]
    last: int


def start(tx: Transaction, key: Key, plan: Plan, count: int) -> Start:
    """Ask the index. `count` is the number of messages in the mailbox."""
    if not plan.texts or plan.rest is None:
        return Start(None, Chosen())
    hits = read_hits(tx, key[0], plan.texts)
    return Start(hits, choose(tx, key[0], plan.rest, hits, count))


class Packed(NamedTuple):
    """UIDs, rising; `last` as in a Block."""

    uids: list[int]
    last: int


def read_packed(tx: Transaction, key: Key, plan: Plan, last: int) -> Packed:
    """The next UIDs from UID `last` down: the database hands them over as one text."""
    where = _where(tx, key, plan, last)
    rows = f"{source(where.text)}{_join(plan)} WHERE p.account = ? AND p.mailbox = ? AND {where.text}"
    if last - plan.low >= BLOCK:  # it may be more than one portion
        rows = f"FROM (SELECT p.uid AS uid {rows} ORDER BY p.uid DESC LIMIT {BLOCK}) AS p"
    (text,) = tx.one(f"SELECT string_agg(CAST(p.uid AS TEXT), ',') {rows}", *key, *where.params) or ("",)
    uids = sorted(msgspec.json.decode(f"[{text or ''}]", type=list[int]))
    return Packed(uids, uids[0] - 1 if len(uids) == BLOCK and uids[0] > plan.low else 0)


def read_block(tx: Transaction, key: Key, plan: Plan, chosen: Chosen, last: int) -> Block:
    """The next rows from UID `last` down."""
    if chosen.few is not None:
        return Block(_read_few(tx, key, plan, chosen.few), 0)
    where = _where(tx, key, plan, last)
    rows = tx.all(
        f"{_select(plan, where)} WHERE p.account = ? AND p.mailbox = ? AND {where.text}"
        f" ORDER BY p.uid DESC LIMIT {BLOCK}",
        *key,
        *where.params,
    )
    following = rows[-1][0] - 1 if len(rows) == BLOCK else 0
    if chosen.indexed is not None:
        indexed, limit = chosen.indexed, chosen.limit
        rows = [row for row in rows if row[1] in indexed or row[1] > limit]
    return Block(rows, following if following >= plan.low else 0)


def _read_few(tx: Transaction, key: Key, plan: Plan, messages: list[int]) -> list[Row]:
    rows: list[Row] = []
    where = _where(tx, key, plan, plan.high)
    sql = _select(plan, where)
    for at in range(0, len(messages), _LOOKUPS):
        some = ", ".join(map(str, messages[at : at + _LOOKUPS]))
        # The plus signs keep the database from the index of the whole mailbox.
        rows += tx.all(
            f"{sql} WHERE +p.account = ? AND +p.mailbox = ? AND {where.text} AND p.message IN ({some})",
            *key,
            *where.params,
        )
    rows.sort(reverse=True)
    return rows


def _select(plan: Plan, where: Sql) -> str:
    columns = COLUMNS if plan.rest is not None else "p.uid, p.modseq" if plan.with_modseq else "p.uid"
    if plan.needs_rows:
        columns = ROW_COLUMNS
    rows = source(f"{columns} {where.text}")
    return f"SELECT {columns} {rows}{_join(plan)}"


def _join(plan: Plan) -> str:
    joined = plan.needs_rows or plan.where.joined
    return " JOIN messages m ON m.id = p.message" if joined else ""


def _where(tx: Transaction, key: Key, plan: Plan, last: int) -> Sql:
    """The condition on places up to UID `last`."""
    where, marks = plan.where, _fitting_marks(tx, key, plan)
    text = f"p.uid >= ? AND p.uid <= ? AND {where.text} AND {marks.text}"
    return Sql(text, (plan.low, min(last, plan.high), *where.params, *marks.params))


def _fitting_marks(tx: Transaction, key: Key, plan: Plan) -> Sql:
    """The condition that a place has a mark that fits: a mailbox has few, and to look up each place's takes long."""
    if plan.marks is None:
        return TRUE
    rows = tx.all(  # `p`, as the plan calls them
        f"SELECT p.id, CASE WHEN {plan.marks.text} THEN 1 ELSE 0 END FROM marks p"  # noqa: S608
        " WHERE p.account = ? AND p.mailbox = ?",
        *plan.marks.params,
        *key,
    )
    fitting = [mark for mark, fits in rows if fits]
    others = [mark for mark, fits in rows if not fits]
    if not fitting or not others:
        return TRUE if fitting else FALSE
    some, one, word = (
        (fitting, "p.mark = ?", " OR ") if len(fitting) <= len(others) else (others, "p.mark <> ?", " AND ")
    )
    if len(some) > _MANY_MARKS:
        return plan.marks
    return Sql(f"({word.join([one] * len(some))})", tuple(some))  # for SQLite so few are dearer with IN


class Decided(NamedTuple):
    """The rows that match, and how many were looked at."""

    rows: list[Row]
    looked: int


def decide(
    tx: Transaction, account: int, plan: Plan, hits: Hits | None, rows: list[Row], first: int
) -> Decided:
    """Look at rows from index `first` on, for a while; at least at one."""
    assert plan.rest is not None
    until = time.monotonic() + _SLICE
    texts = Texts(tx, account, hits)
    found: list[Row] = []
    count = 0
    for index in range(first, len(rows)):
        row = rows[index]
        if matches(plan.rest, Candidate(tx, plan, texts, row)):
            found.append(row)
        count += 1
        if count % 8 == 0 and time.monotonic() > until:
            break
    return Decided(found, count)
