"""The machine: lines however they are cut, over-long ones, the end of input."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.pop3.connection import LONG_LINE, AuthResponse, Closed, Connection, Event
from mailwright.pop3.syntax import Auth, Command, SyntaxFault

TOO_LONG = SyntaxFault("The line is too long")


def events(pieces: list[bytes]) -> list[Event]:
    """What a session sees that sends a challenge to each AUTH."""
    connection = Connection()
    seen: list[Event] = []
    for piece in pieces:
        connection.receive_data(piece)
        while (event := connection.next_event()) is not None:
            seen.append(event)
            if isinstance(event, Auth):
                connection.expect_auth_response()
        if piece:
            assert connection.wants_data
    return seen


def each_way(octets: bytes) -> list[Event]:
    """The events up to the end of input, the same whole and an octet at a time."""
    whole = events([octets, b""])
    assert events([octets[i : i + 1] for i in range(len(octets))] + [b""]) == whole
    return whole


def test_pipelined() -> None:
    assert each_way(b"USER ann\r\nPASS x\nSTAT\r\nRETR 1\r\nQUIT\r\n") == [
        Command("USER", text="ann"),
        Command("PASS", text="x"),
        Command("STAT"),
        Command("RETR", 1),
        Command("QUIT"),
        Closed(),
    ]


def test_challenge_and_response() -> None:
    assert each_way(b"AUTH PLAIN\r\nQUIT\r\nAUTH LOGIN\r\n\r\nQUIT\r\n") == [
        Auth("PLAIN"),
        AuthResponse(b"QUIT"),
        Auth("LOGIN"),
        AuthResponse(b""),
        Command("QUIT"),
        Closed(),
    ]


def test_a_line_without_its_end_is_dropped() -> None:
    assert each_way(b"STAT\r\nQUIT") == [Command("STAT"), Closed()]


@pytest.mark.parametrize("extra", [0, 1, 5000, 100_000])
def test_over_long_commands(extra: int) -> None:
    line = b"LIST " + b"1" * (255 - 7 + extra) + b"\r\n"
    fault = each_way(line + b"NOOP\r\n")
    assert fault[1:] == [Command("NOOP"), Closed()]
    assert (fault[0] == TOO_LONG) == (extra > 0)


def test_over_long_line_that_never_ends() -> None:
    connection = Connection()
    seen = []
    for _ in range(200):
        connection.receive_data(b"x" * 65_536)
        while (event := connection.next_event()) is not None:
            seen.append(event)
        assert connection.wants_data
    assert seen == [TOO_LONG]


def test_credentials_may_be_longer() -> None:
    assert each_way(b"PASS " + b"p" * 1024 + b"\r\n") == [Command("PASS", text="p" * 1024), Closed()]
    assert each_way(b"user " + b"p" * LONG_LINE + b"\r\nNOOP\r\n") == [TOO_LONG, Command("NOOP"), Closed()]
    assert each_way(b"AUTH PLAIN\r\n" + b"A" * 12_288 + b"\r\n")[1] == AuthResponse(b"A" * 12_288)
    assert each_way(b"AUTH PLAIN\r\n" + b"A" * 12_289 + b"\r\nNOOP\r\n")[1:] == [
        AuthResponse(None),
        Command("NOOP"),
        Closed(),
    ]


def test_reset_drops_what_waits() -> None:
    connection = Connection()
    connection.receive_data(b"STLS\r\nUSER eve\r\nPASS")
    assert connection.next_event() == Command("STLS")
    connection.reset()
    connection.receive_data(b"NOOP\r\n")
    assert connection.next_event() == Command("NOOP")
    assert connection.next_event() is None


def test_empty_lines_cost_no_more_than_their_octets() -> None:
    begin = time.process_time()
    assert len(events([b"\n" * 65_536])) == 65_536
    assert time.process_time() - begin < 2


LINES = st.sampled_from(
    [
        b"AUTH PLAIN\r\n",
        b"AUTH X\n",
        b"NOOP\r\n",
        b"RETR 1\r\n",
        b"\r\n",
        b"\r",
        b"PASS ",
        b"L" * 254,
        b"A" * 12_280,
    ]
)


@given(st.lists(LINES | st.binary(max_size=20), max_size=12), st.data())
@settings(max_examples=150, deadline=None)
def test_cuts_do_not_matter(parts: list[bytes], data: st.DataObject) -> None:
    octets = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=8)))
    bounds = [0, *cuts, len(octets)]
    pieces = [octets[a:b] for a, b in itertools.pairwise(bounds) if a < b]
    assert events([*pieces, b""]) == events([octets, b""] if octets else [b""])
