"""The first octets of content that was read lately."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mailwright.store.blobs.beginnings import Beginnings


def test_what_was_read_is_found_while_no_more_is_wanted() -> None:
    beginnings = Beginnings()
    beginnings.add_all([(1, b"Subject: one\r\n"), (2, b"")])
    assert beginnings.find_all([(1, 14), (1, 3), (1, 15), (2, 0), (3, 0)]) == [
        b"Subject: one\r\n",
        b"Subject: one\r\n",
        None,
        b"",
        None,
    ]


def test_what_is_long_is_left_out() -> None:
    beginnings = Beginnings()
    beginnings.add_all([(1, b"x" * 100_000), (2, b"y")])
    assert beginnings.find_all([(1, 1), (2, 1)]) == [None, b"y"]


def test_what_was_used_longest_ago_goes_first() -> None:
    beginnings = Beginnings(most=3 * 1200)
    beginnings.add_all((number, b"x" * 1000) for number in (1, 2, 3))
    assert beginnings.find_all([(1, 1)]) != [None]
    beginnings.add_all([(4, b"x" * 1000)])
    assert [found is not None for found in beginnings.find_all((n, 1) for n in (1, 2, 3, 4))] == [
        True,
        False,
        True,
        True,
    ]


@given(st.lists(st.tuples(st.integers(1, 6), st.binary(max_size=60)), max_size=40))
def test_it_stays_within_its_bound(reads: list[tuple[int, bytes]]) -> None:
    beginnings = Beginnings(most=800)
    last: dict[int, bytes] = {}
    for blob_id, octets in reads:
        beginnings.add_all([(blob_id, octets)])
        last[blob_id] = octets
        found = beginnings.find_all((number, 0) for number in range(1, 7))
        held = {number: octets for number, octets in enumerate(found, 1) if octets is not None}
        assert held.items() <= last.items()
        assert held.get(blob_id) == octets, "what was read last is there"
        assert sum(len(octets) + 200 for octets in held.values()) <= 800
