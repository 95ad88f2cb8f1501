"""Sequence sets (RFC 3501 9 `sequence-set`): `1:3,7,10:*`, and `$` for the saved search result (RFC 5182)."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

from mailwright.imap.syntax.lexer import MAX_NUMBER, BadSyntax, Lexer

_PARTIAL: Final = re.compile(rb"[1-9][0-9]{0,9}:[1-9][0-9]{0,9}|-[1-9][0-9]{0,9}:-[1-9][0-9]{0,9}")
_SET: Final = re.compile(rb"[0-9:*,]+")
STAR: Final = 0  # stands for '*': no message has the number 0

Range = tuple[int, int]


class SequenceSet:
    """Ranges of sequence numbers or UIDs as the client wrote them. `saved` is `$`."""

    __slots__ = ("ranges", "saved")

    def __init__(self, ranges: tuple[Range, ...], saved: bool = False) -> None:
        self.ranges = ranges
        self.saved = saved

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SequenceSet) and (self.ranges, self.saved) == (other.ranges, other.saved)

    def __hash__(self) -> int:
        return hash((self.ranges, self.saved))

    def __repr__(self) -> str:
        return f"SequenceSet({self})"

    def __str__(self) -> str:
        if self.saved:
            return "$"
        return ",".join(
            _show(low) if low == high else f"{_show(low)}:{_show(high)}" for low, high in self.ranges
        )

    def resolve(self, largest: int) -> list[Range]:
        """The ranges in order, joined, with `*` as `largest`. Ranges of nothing but 0 are left out."""
        found = []
        for low, high in self.ranges:
            first = low or largest
            last = high or largest
            found.append((first, last) if first <= last else (last, first))
        return join_ranges(found)

    def highest(self) -> int:
        """The highest number written out; 0 when there is none but `*`."""
        return max((max(pair) for pair in self.ranges), default=0)


def parse_sequence_set(lexer: Lexer) -> SequenceSet:
    """Raises BadSyntax for 0, numbers above 4294967295 and empty ranges."""
    if lexer.accept(36):  # '$'
        return SequenceSet((), saved=True)
    text = lexer.match(_SET)
    if text is None:
        raise BadSyntax(f"expected a message set {lexer.where()}")
    ranges = []
    for part in text.split(b","):
        low, colon, high = part.partition(b":")
        first = _number(low)
        ranges.append((first, _number(high) if colon else first))
    return SequenceSet(tuple(ranges))


def _number(text: bytes) -> int:
    if text == b"*":
        return STAR
    if not text.isdigit() or len(text) > 10:
        raise BadSyntax("Invalid message set")
    value = int(text)
    if not 0 < value <= MAX_NUMBER:
        raise BadSyntax("Message numbers run from 1 to 4294967295")
    return value


def _show(number: int) -> str:
    return "*" if number == STAR else str(number)


def join_ranges(ranges: list[Range]) -> list[Range]:
    """Sorted, with what overlaps or touches joined."""
    joined: list[Range] = []
    low, high = 0, -1
    for first, last in sorted(ranges):
        if last <= 0:
            continue
        if first <= high + 1 and high > 0:
            high = max(high, last)
            continue
        if high > 0:
            joined.append((low, high))
        low, high = first, last
    if high > 0:
        joined.append((low, high))
    return joined


def to_ranges(numbers: Iterable[int]) -> list[Range]:
    """Ascending numbers as ranges."""
    ranges: list[Range] = []
    low = high = -1
    for number in numbers:
        if number == high + 1 and high >= 0:
            high = number
            continue
        if high >= 0:
            ranges.append((low, high))
        low = high = number
    if high >= 0:
        ranges.append((low, high))
    return ranges


def format_ranges(ranges: Iterable[Range]) -> str:
    return ",".join(str(low) if low == high else f"{low}:{high}" for low, high in ranges)


def format_set(numbers: Iterable[int]) -> str:
    """Ascending numbers as a set, as short as ranges make it: `1:3,7`."""
    return format_ranges(to_ranges(numbers))


def slices(ranges: Iterable[Range], uids: Sequence[int]) -> list[Range]:
    """Where the ranges lie in a sorted array of UIDs, as [start, stop) index pairs; never empty pairs."""
    found = []
    for low, high in ranges:
        start = bisect_left(uids, low)
        stop = bisect_right(uids, high, start)
        if start < stop:
            found.append((start, stop))
    return found


def contains(ranges: Sequence[Range], number: int) -> bool:
    """Whether a number lies in joined ranges."""
    index = bisect_right(ranges, (number, MAX_NUMBER + 1)) - 1
    return index >= 0 and number <= ranges[index][1]


def intersect(left: Sequence[Range], right: Sequence[Range]) -> list[Range]:
    """What is in both of two lists of joined ranges."""
    found = []
    i = j = 0
    while i < len(left) and j < len(right):
        low = max(left[i][0], right[j][0])
        high = min(left[i][1], right[j][1])
        if low <= high:
            found.append((low, high))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return found


def gaps(numbers: Iterable[int], last: int) -> list[Range]:
    """The ranges from 1 to `last` that lie between ascending numbers."""
    found = []
    expected = 1
    for number in numbers:
        if number > expected:
            found.append((expected, number - 1))
        expected = number + 1
    if expected <= last:
        found.append((expected, last))
    return found


def parse_partial(lexer: Lexer) -> tuple[int, int]:
    """`1:500`, or `-1:-100` from the end (RFC 9394 3.1); `500:1` is the same as `1:500` (RFC 5267 4.4)."""
    found = lexer.match(_PARTIAL)
    if found is None:
        raise BadSyntax(f"expected a range such as 1:500 {lexer.where()}")
    first, last = (int(number) for number in found.split(b":"))
    if max(abs(first), abs(last)) > MAX_NUMBER:
        raise BadSyntax("The range goes up to 4294967295")
    return (first, last) if abs(first) <= abs(last) else (last, first)
