"""FETCH responses that the database writes itself: what a client asks of all messages at once, their UIDs and flags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from mailwright.imap.fetch.pieces import SLICE_OCTETS, Piece, Slice, joined
from mailwright.imap.syntax.fetch import Attribute
from mailwright.imap.syntax.flags import format_flags
from mailwright.imap.syntax.sequence import Range, intersect, to_ranges
from mailwright.imap.view import Key, Run
from mailwright.store.db.api import Transaction
from mailwright.store.marks import Marks, read_marks
from mailwright.store.reading import read_all

if TYPE_CHECKING:
    from mailwright.imap.fetch.plan import Plan

SLICE_LINES: Final = 10_000  # messages in one slice at most
_ROWS: Final = 2000  # messages in one statement
_SHORT: Final = 20  # messages that lie side by side on average; where they are fewer, rows are quicker
_MANY_MARKS: Final = 60  # of a mailbox; where they are more, rows are quicker

# What stands before each value, its SQL, and what stands behind it. `{}`: by the mark, for its flags and keywords.
_ITEMS: Final = {
    "UID": ("UID ", "p.uid", ""),
    "FLAGS": ("FLAGS ", "{}", ""),
    "MODSEQ": ("MODSEQ (", "p.modseq", ")"),
}


def make_line(attributes: Sequence[Attribute], by_uid: bool) -> str:
    """The SQL of a response with these attributes; its parameter is what the sequence number is less than the UID.

    '' when the database cannot write them.
    """
    if not all(attribute.name in _ITEMS for attribute in attributes):
        return ""
    text, sql = " UIDFETCH (" if by_uid else " FETCH (", "'* ' || (p.uid - ?)"
    for attribute in attributes:
        before, value, after = _ITEMS[attribute.name]
        sql += f" || '{text}{before}' || {value}"
        text = after + " "
    return f"{sql} || '{text[:-1]})\r\n'"


def write_lines(tx: Transaction, key: Key, runs: Sequence[Run], plan: Plan) -> Slice | None:
    """As `read_slice`, for a plan with a line, over runs that `lie_close`.

    None when there are too many marks, or none, as in a mailbox that was deleted.
    """
    marks = {mark: one.marks for mark, one in read_marks(tx, *key).items()}
    if not 0 < len(marks) <= _MANY_MARKS:
        return None
    pieces: list[Piece] = []
    keywords: set[str] = set()
    covered = found = octets = 0
    for low, high, less in _spans(runs):
        for first, last, recent in _split(low, high, plan.recents):
            lines, count = _write(tx, key, plan, marks, first, last, 0 if plan.by_uid else less, recent)
            keywords |= _keywords(tx, key, plan, marks, first, last)
            pieces.append(lines)
            octets += len(lines)
            found += count
        covered += high - low + 1
        if octets >= SLICE_OCTETS:
            break
    return Slice(joined(pieces), covered, found < covered, keywords)


def _spans(runs: Sequence[Run]) -> Iterator[tuple[int, int, int]]:
    """The first and last UID of messages that follow one another, and what their sequence numbers are less."""
    for run in runs:
        number = run.number
        for first, last in _ranges(run):
            for low in range(first, last + 1, _ROWS):
                high = min(low + _ROWS - 1, last)
                yield low, high, low - number
                number += high - low + 1


def _ranges(run: Run) -> list[Range]:
    first, last = run.uids[0], run.uids[-1]
    return [(first, last)] if last - first + 1 == len(run.uids) else to_ranges(run.uids)


def _split(low: int, high: int, recents: Sequence[Range]) -> Iterator[tuple[int, int, bool]]:
    """The UIDs from `low` to `high` in parts, and of each part whether it is \\Recent."""
    for first, last in intersect([(low, high)], recents):
        if low < first:
            yield low, first - 1, False
        yield first, last, True
        low = last + 1
    if low <= high:
        yield low, high, False


def _write(
    tx: Transaction,
    key: Key,
    plan: Plan,
    marks: dict[int, Marks],
    low: int,
    high: int,
    less: int,
    recent: bool,
) -> tuple[bytes, int]:
    """The lines of all messages from UID `low` to `high`, and how many they are. Lines need no order."""
    params: list[int | str] = [less]
    if plan.shows_flags:
        for mark, (flags, keywords) in marks.items():
            params += (mark, format_flags(flags, keywords, recent))
    line = plan.line.format(f"CASE p.mark {'WHEN ? THEN ? ' * len(marks)}END")
    lines, count = read_all(tx, *key, low, high, f"string_agg({line}, ''), count(*)", *params)[0]
    return (lines or "").encode("ascii"), count


def _keywords(
    tx: Transaction, key: Key, plan: Plan, marks: dict[int, Marks], low: int, high: int
) -> set[str]:
    """The texts of keywords that are shown for the messages from UID `low` to `high`."""
    if not plan.shows_flags or not any(keywords for _, keywords in marks.values()):
        return set()
    shown = read_all(tx, *key, low, high, "DISTINCT p.mark")
    return {marks[mark].keywords for (mark,) in shown if marks[mark].keywords}


def lie_close(runs: Sequence[Run]) -> bool:
    """Whether most of the messages have UIDs that follow one another."""
    return sum([len(run.uids) for run in runs]) > _SHORT * sum([len(_ranges(run)) for run in runs])
