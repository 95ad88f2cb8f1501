"""Packed sets."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.store.sets import pack, ranges, unpack


def test_packing() -> None:
    assert pack([]) == ""
    assert pack([5]) == "5"
    assert pack([3, 1, 2, 7, 7]) == "1:3,7"
    assert list(unpack("1:3,7")) == [1, 2, 3, 7]
    assert list(unpack("")) == []
    assert list(ranges(range(1, 100_001))) == [(1, 100_000)]


@settings(deadline=None)
@given(st.lists(st.integers(0, 200)))
def test_unpacking_gives_the_same_set(numbers: list[int]) -> None:
    assert list(unpack(pack(numbers))) == sorted(set(numbers))
