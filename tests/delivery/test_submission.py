"""The header section that a message begins with."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailwright.delivery.submission import header_section


@pytest.mark.parametrize(
    ("head", "section"),
    [
        (b"A: b\r\n\r\ntext", b"A: b\r\n\r\n"),
        (b"A: b\n\ntext\r\n\r\nmore", b"A: b\n\n"),
        (b"A: b\r\n\ntext\r\n\r\n", b"A: b\r\n\n"),
        (b"A: b\n\r\n\r\n", b"A: b\n\r\n"),
        (b"\r\nA: b\r\n\r\n", b"\r\n"),
        (b"text alone\r\n\r\nA: b\r\n", b""),
        (b"A: b\r\n", b"A: b\r\n"),
        (b"", b""),
    ],
)
def test_a_section_ends_with_the_first_empty_line(head: bytes, section: bytes) -> None:
    assert header_section(head) == section


def test_a_section_without_an_end_is_none_where_more_follows() -> None:
    assert header_section(b"A: b\r\n", whole=False) == b""


@given(st.lists(st.sampled_from([b"a: b", b"\r", b"\n", b"\r\n"])))
def test_whatever_the_line_ends(pieces: list[bytes]) -> None:
    head = b"A: b" + b"".join(pieces)
    found = re.search(rb"\n\r?\n", head)
    assert header_section(head) == (head[: found.end()] if found else head)
