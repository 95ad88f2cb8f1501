"""Response lines, byte-stuffing and TOP over pieces of messages."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.pop3.responses import Stuffer, Top, err, logged_in, ok

TEXT = st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b".", b"..", b"a", b"word "]), max_size=30).map(
    b"".join
)
CUTS = st.lists(st.integers(0, 60), max_size=6)


def cut(text: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(min(at, len(text)) for at in cuts), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(bounds)]


def stuffed(pieces: list[bytes]) -> bytes:
    stuffer = Stuffer()
    return b"".join(stuffer.feed(piece) for piece in pieces) + stuffer.end()


def cut_top(pieces: list[bytes], lines: int) -> bytes:
    top = Top(lines)
    taken = b""
    for piece in pieces:
        if not top.done:
            taken += top.feed(piece)
    return taken


def test_lines_are_clean_and_short() -> None:
    assert ok("") == b"+OK\r\n"
    assert ok("a\r\n-ERR b\0ü") == b"+OK a??-ERR b??\r\n"
    assert len(err("x" * 1000, "SYS/TEMP")) == 512
    assert logged_in(1, 5) == b"+OK Logged in, 1 message (5 octets)\r\n"


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        (b"", b".\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a\n", b"a\n\r\n.\r\n"),
        (b"a\r", b"a\r\r\n.\r\n"),
        (b"\r\n", b"\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b".\r\n.\r\n", b"..\r\n..\r\n.\r\n"),
        (b"a\r\n.\r\nb", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\n.\nb\r\n", b"a\n..\nb\r\n.\r\n"),
        (b"a.\r\n b.c\r\n", b"a.\r\n b.c\r\n.\r\n"),
    ],
)
def test_stuffing(message: bytes, sent: bytes) -> None:
    for at in range(len(message) + 1):
        assert stuffed([message[:at], message[at:]]) == sent
    assert stuffed([message[i : i + 1] for i in range(len(message))]) == sent


@given(TEXT, CUTS)
@settings(max_examples=200, deadline=None)
def test_what_was_stuffed_comes_back_and_ends_once(message: bytes, cuts: list[int]) -> None:
    sent = stuffed(cut(message, cuts))
    assert sent.endswith(b"\r\n.\r\n") or sent == b".\r\n"
    assert (b"\r\n" + sent).find(b"\r\n.\r\n") == len(sent) - 3
    lines = sent[:-3].split(b"\n")
    text = b"\n".join(line[1:] if line.startswith(b".") else line for line in lines)
    assert text == (message if message.endswith(b"\r\n") or not message else message + b"\r\n")


def expected_top(message: bytes, lines: int) -> bytes:
    """By lines: the header, the first empty one, and so many more."""
    taken: list[bytes] = []
    rest = message.splitlines(keepends=True) if b"\r" not in message.replace(b"\r\n", b"") else []
    while rest:
        line = rest.pop(0)
        taken.append(line)
        if line in (b"\r\n", b"\n"):
            break
    return b"".join(taken + rest[:lines])


@given(TEXT.filter(lambda text: b"\r" not in text.replace(b"\r\n", b"")), CUTS, st.integers(0, 8))
@settings(max_examples=200, deadline=None)
def test_top_counts_lines(message: bytes, cuts: list[int], lines: int) -> None:
    assert cut_top(cut(message, cuts), lines) == expected_top(message, lines)


def test_top_without_a_body() -> None:
    assert cut_top([b"A: b\r\n", b"C: d"], 5) == b"A: b\r\nC: d"
    assert cut_top([b"\r", b"\nbody\r\n"], 0) == b"\r\n"
    assert cut_top([b"A: b\r\n\r", b"\nbody\r\nmore\r\n"], 1) == b"A: b\r\n\r\nbody\r\n"


def test_many_lines_are_counted_quickly() -> None:
    piece = b"\n" * 262_144
    begin = time.process_time()
    assert len(cut_top([piece] * 20, 262_144 * 19 + 7)) == 262_144 * 19 + 1 + 7
    assert time.process_time() - begin < 1
