"""What was read lately stays in memory, within a bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mailwright.store.blobs.lately import Lately


def test_what_was_read_is_found() -> None:
    lately: Lately[int] = Lately(1000)
    lately.add_all([(1, b"Subject: one\r\n"), (2, b"")])
    assert lately.find_all([1, 2, 3, 1]) == [b"Subject: one\r\n", b"", None, b"Subject: one\r\n"]


def test_what_is_long_is_left_out() -> None:
    lately: Lately[int] = Lately(1_000_000)
    lately.add_all([(1, b"x" * 100_000), (2, b"y")])
    assert lately.find_all([1, 2]) == [None, b"y"]


def test_what_was_used_longest_ago_goes_first() -> None:
    lately: Lately[bytes] = Lately(3 * 1200)
    lately.add_all((key, b"x" * 1000) for key in (b"a", b"b", b"c"))
    assert lately.find_all([b"a"]) != [None]
    lately.add_all([(b"d", b"x" * 1000)])
    assert [octets is not None for octets in lately.find_all((b"a", b"b", b"c", b"d"))] == [
        True,
        False,
        True,
        True,
    ]


@given(st.lists(st.tuples(st.integers(1, 6), st.binary(max_size=60)), max_size=40))
def test_it_stays_within_its_bound(reads: list[tuple[int, bytes]]) -> None:
    lately: Lately[int] = Lately(800)
    last: dict[int, bytes] = {}
    for key, octets in reads:
        lately.add_all([(key, octets)])
        last[key] = octets
        found = lately.find_all(range(1, 7))
        held = {number: octets for number, octets in enumerate(found, 1) if octets is not None}
        assert held.items() <= last.items()
        assert held.get(key) == octets, "what was read last is there"
        assert sum(len(octets) + 200 for octets in held.values()) <= 800
