"""FETCH responses that the database writes itself: what a client asks of all messages at once, their UIDs and flags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from mailwright.imap.fetch.pieces import SLICE_OCTETS, Piece, Slice, joined
from mailwright.imap.syntax.fetch import Attribute
from mailwright.imap.syntax.flags import ALL_FLAGS, format_flags
from mailwright.imap.syntax.sequence import Range, intersect, to_ranges
from mailwright.imap.view import Key, Run
from mailwright.store.db.api import Transaction
from mailwright.store.reading import read_all

if TYPE_CHECKING:
    from mailwright.imap.fetch.plan import Plan

SLICE_LINES: Final = 10_000  # messages in one slice at most
_ROWS: Final = 2000  # messages in one statement
_SHORT: Final = 20  # messages that lie side by side on average; where they are fewer, rows are quicker

_MASKS: Final = sorted(
    range(ALL_FLAGS + 1), key=lambda mask: (mask > 1, mask.bit_count())
)  # frequent ones first


def _by_flags(form: str, recent: bool) -> str:
    """SQL for the names of the system flags, `form` around them."""
    names = [format_flags(mask, "", recent)[1:-1] for mask in _MASKS]
    cases = [f"WHEN {mask} THEN '{form.format(text)}'" for mask, text in zip(_MASKS, names, strict=True)]
    return f"CASE p.flags & {ALL_FLAGS} {' '.join(cases)} END"


def _all_flags(recent: bool) -> str:
    """SQL for flags and keywords."""
    alone = "" if recent else f"WHEN (p.flags & {ALL_FLAGS}) = 0 THEN '(' || p.keywords || ')' "
    return (
        f"CASE WHEN p.keywords = '' THEN {_by_flags('({})', recent)} {alone}"
        f"ELSE {_by_flags('({} ', recent)} || p.keywords || ')' END"
    )


# What stands before each value, its SQL, and what stands behind it.
_ITEMS: Final = {
    "UID": ("UID ", "p.uid", ""),
    "FLAGS": ("FLAGS ", _all_flags(recent=False), ""),
    "MODSEQ": ("MODSEQ (", "p.modseq", ")"),
}


_RECENT_ITEMS: Final = _ITEMS | {"FLAGS": ("FLAGS ", _all_flags(recent=True), "")}


def make_line(attributes: Sequence[Attribute], by_uid: bool, recent: bool) -> str:
    """The SQL of a response with these attributes; its parameter is what the sequence number is less than the UID.

    `recent`: for a message that is \\Recent. '' when the database cannot write them.
    """
    if not all(attribute.name in _ITEMS for attribute in attributes):
        return ""
    text, sql = " UIDFETCH (" if by_uid else " FETCH (", "'* ' || (p.uid - ?)"
    for attribute in attributes:
        before, value, after = (_RECENT_ITEMS if recent else _ITEMS)[attribute.name]
        sql += f" || '{text}{before}' || {value}"
        text = after + " "
    return f"{sql} || '{text[:-1]})\r\n'"


def read_lines(tx: Transaction, key: Key, runs: Sequence[Run], plan: Plan) -> Slice:
    """As `read_slice`, for a plan with a line, over runs that `lie_close`."""
    pieces: list[Piece] = []
    covered = found = octets = 0
    for low, high, less in _spans(runs):
        for first, last, recent in _split(low, high, plan.recents):
            lines, count = _read(tx, key, plan, first, last, 0 if plan.by_uid else less, recent)
            pieces.append(lines)
            octets += len(lines)
            found += count
        covered += high - low + 1
        if octets >= SLICE_OCTETS:
            break
    return Slice(joined(pieces), covered, found < covered)


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


def _read(
    tx: Transaction, key: Key, plan: Plan, low: int, high: int, less: int, recent: bool
) -> tuple[bytes, int]:
    """The lines of all messages from UID `low` to `high`, and how many they are. Lines need no order."""
    line = plan.recent_line if recent else plan.line
    keywords = "max(p.keywords)" if "p.keywords" in plan.columns else "''"
    columns = f"string_agg({line}, ''), count(*), {keywords}"
    lines, count, some = read_all(tx, *key, low, high, columns, less)[0]
    if some:
        plan.keywords.update([text for (text,) in read_all(tx, *key, low, high, "DISTINCT p.keywords")])
    return (lines or "").encode("ascii"), count


def lie_close(runs: Sequence[Run]) -> bool:
    """Whether most of the messages have UIDs that follow one another."""
    return sum([len(run.uids) for run in runs]) > _SHORT * sum([len(_ranges(run)) for run in runs])
