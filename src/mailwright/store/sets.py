"""Packed sets of numbers, in the notation of IMAP's sequence-set: `1:3,7`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def pack(numbers: Iterable[int]) -> str:
    """The packed form of numbers in any order."""
    return pack_ranges(ranges(numbers))


def pack_ranges(found: Iterable[tuple[int, int]]) -> str:
    """The packed form of ranges."""
    return ",".join([f"{first}:{last}" if last > first else str(first) for first, last in found])


def unpack(packed: str) -> Iterator[int]:
    """The numbers of a packed set, rising."""
    for first, last in unpack_ranges(packed):
        yield from range(first, last + 1)


def unpack_ranges(packed: str) -> Iterator[tuple[int, int]]:
    """The first and last number of each run of a packed set."""
    if not packed:
        return
    for part in packed.split(","):
        first, _, last = part.partition(":")
        yield int(first), int(last or first)


def ranges(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The first and last number of each run."""
    if isinstance(numbers, range) and numbers and numbers.step == 1:
        yield numbers[0], numbers[-1]
        return
    ordered = sorted(numbers)
    if not ordered:
        return
    first = last = ordered[0]
    if ordered[-1] - first + 1 == len(ordered) == len(set(ordered)):
        yield first, ordered[-1]
        return
    for number in ordered:
        if number > last + 1:
            yield first, last
            first = number
        last = number
    yield first, last
