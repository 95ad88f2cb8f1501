"""FETCH responses that the database writes itself: what a client asks of all messages at once, their UIDs and flags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from mailwright.imap.fetch.pieces import SLICE_OCTETS, Piece, Slice
from mailwright.imap.syntax.fetch import Attribute
from mailwright.imap.syntax.flags import ALL_FLAGS, format_flags
from mailwright.imap.syntax.sequence import Range, to_ranges
from mailwright.imap.view import Key, Run
from mailwright.store.db.api import Transaction
from mailwright.store.messages import read_all

if TYPE_CHECKING:
    from mailwright.imap.fetch.plan import Plan

SLICE_LINES: Final = 10_000  # messages in one slice at most
_ROWS: Final = 2000  # messages in one statement
_SHORT: Final = 20  # messages that lie side by side on average; where they are fewer, rows are quicker

_MASKS: Final = sorted(
    range(ALL_FLAGS + 1), key=lambda mask: (mask > 1, mask.bit_count())
)  # frequent ones first


def _by_flags(form: str) -> str:
    """SQL for the names of the system flags, `form` around them."""
    cases = [f"WHEN {mask} THEN '{form.format(format_flags(mask, '')[1:-1])}'" for mask in _MASKS]
    return f"CASE p.flags & {ALL_FLAGS} {' '.join(cases)} END"


_FLAGS: Final = (
    f"CASE WHEN p.keywords = '' THEN {_by_flags('({})')} WHEN (p.flags & {ALL_FLAGS}) = 0"
    f" THEN '(' || p.keywords || ')' ELSE {_by_flags('({} ')} || p.keywords || ')' END"
)
# What stands before each value, its SQL, and what stands behind it.
_ITEMS: Final = {
    "UID": ("UID ", "p.uid", ""),
    "FLAGS": ("FLAGS ", _FLAGS, ""),
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


def read_lines(tx: Transaction, key: Key, runs: Sequence[Run], plan: Plan) -> Slice:
    """As `read_slice`, for a plan with a line, over runs that `lie_close`."""
    pieces: list[Piece] = []
    covered = found = octets = 0
    for low, high, less in _spans(runs):
        lines, count = _read(tx, key, plan, low, high, 0 if plan.by_uid else less)
        pieces.append(lines)
        octets += len(lines)
        found += count
        covered += high - low + 1
        if octets >= SLICE_OCTETS:
            break
    return Slice(pieces, covered, found < covered)


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


def _read(tx: Transaction, key: Key, plan: Plan, low: int, high: int, less: int) -> tuple[bytes, int]:
    """The lines of all messages from UID `low` to `high`, and how many they are. Lines need no order."""
    columns = f"string_agg({plan.line}, ''), count(*), max(p.keywords)"
    lines, count, keywords = read_all(tx, *key, low, high, columns, less)[0]
    if keywords:
        plan.keywords.update([text for (text,) in read_all(tx, *key, low, high, "DISTINCT p.keywords")])
    return (lines or "").encode("ascii"), count


def lie_close(runs: Sequence[Run]) -> bool:
    """Whether most of the messages have UIDs that follow one another."""
    return sum([len(run.uids) for run in runs]) > _SHORT * sum([len(_ranges(run)) for run in runs])
