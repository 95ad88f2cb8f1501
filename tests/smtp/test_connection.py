"""The server's machine: lines, DATA, BDAT, and that nothing but CRLF.CRLF ends a message."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.smtp import replies
from mailwright.smtp.connection import AuthResponse, Closed, Connection, DataChunk, DataEnd, Event
from mailwright.smtp.syntax.commands import Bdat, Data, Hello, Noop, Quit, Rset, StartTls, SyntaxFault


def events(pieces: list[bytes], *, accept_bare_lf: bool = False, binary: bool = False) -> list[Event]:
    """What a session sees that says 354 to each DATA; the chunks of one message joined."""
    connection = Connection(accept_bare_lf=accept_bare_lf)
    connection.begin_message(binary)
    seen: list[Event] = []
    for piece in pieces:
        connection.receive_data(piece)
        while (event := connection.next_event()) is not None:
            if isinstance(event, Data):
                connection.begin_data()
            last = seen[-1] if seen else None
            if isinstance(event, DataChunk) and isinstance(last, DataChunk):
                seen[-1] = DataChunk(last.data + event.data, event.bare)
            else:
                seen.append(event)
    return seen


def each_way(octets: bytes, *, accept_bare_lf: bool = False, binary: bool = False) -> list[Event]:
    """The events, which must be the same whole, an octet at a time, and cut in two anywhere."""
    whole = events([octets], accept_bare_lf=accept_bare_lf, binary=binary)
    single = events(
        [octets[i : i + 1] for i in range(len(octets))], accept_bare_lf=accept_bare_lf, binary=binary
    )
    assert single == whole
    for cut in range(1, len(octets)):
        halves = [octets[:cut], octets[cut:]]
        assert events(halves, accept_bare_lf=accept_bare_lf, binary=binary) == whole
    return whole


def message(seen: list[Event]) -> tuple[bytes, bool]:
    """Text and fault of the one message."""
    (end,) = [event for event in seen if isinstance(event, DataEnd) and event.last]
    return b"".join(event.data for event in seen if isinstance(event, DataChunk)), end.bare


def test_pipelined_session() -> None:
    octets = (
        b"EHLO a.example\r\nNOOP\r\nDATA\r\nSubject: x\r\n\r\n..dot\r\n.hidden\r\nend\r\n.\r\n"
        b"BDAT 5\r\nab\r\n.BDAT 0 LAST\r\nQUIT\r\n"
    )
    assert each_way(octets) == [
        Hello("EHLO", "a.example"),
        Noop(),
        Data(),
        DataChunk(b"Subject: x\r\n\r\n.dot\r\nhidden\r\nend\r\n", False),
        DataEnd(True, False),
        Bdat(5, False),
        DataChunk(b"ab\r\n.", False),
        DataEnd(False, False),
        Bdat(0, True),
        DataEnd(True, False),
        Quit(),
    ]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"...\r\n.\r\n", b"..\r\n"),
        (b".x\r\n.\r\n", b"x\r\n"),
        (b"a\r\n..\r\nb\r\n.\r\n", b"a\r\n.\r\nb\r\n"),
        (b"a\r\n\r\n.\r\n", b"a\r\n\r\n"),
        (b"x.\r\n.\r\n", b"x.\r\n"),
        (b"\0\xff\r\n.\r\n", b"\0\xff\r\n"),
    ],
)
def test_dots(sent: bytes, kept: bytes) -> None:
    assert message(each_way(b"DATA\r\n" + sent)) == (kept, False)
    assert message(each_way(b"DATA\n" + sent)) == (kept, False)


@pytest.mark.parametrize(
    "false_end",
    [
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r.\r\n",
        b"\r\n.\r",
        b"\n.\r",
        b"\r\r\n.\r\r\n",
        b"\r\n\x00.\r\n",
        b"\r\n.\x00\r\n",
        b"\r\n.\r\r\n",
        b"\r\n.\n\r\n",
        b"\r\n. \r\n",
    ],
)
def test_nothing_else_ends_a_message(false_end: bytes) -> None:
    smuggled = b"MAIL FROM:<evil@example.org>\r\n"
    seen = each_way(b"DATA\r\nfirst" + false_end + smuggled + b"end\r\n.\r\nQUIT\r\n")
    assert [type(event) for event in seen] == [Data, DataChunk, DataEnd, Quit]
    text, bare = message(seen)
    assert smuggled in text
    without_breaks = false_end.replace(b"\r\n", b"")
    assert bare == (b"\r" in without_breaks or b"\n" in without_breaks)


def test_bare_lf_may_be_accepted_but_never_ends_a_message() -> None:
    seen = each_way(b"DATA\r\na\nb\n.\nc\n..\r\nd\r\n..\n.\r\n\r\n.\r\nQUIT\r\n", accept_bare_lf=True)
    assert [type(event) for event in seen] == [Data, DataChunk, DataEnd, Quit]
    assert message(seen) == (b"a\r\nb\r\n.\r\nc\r\n..\r\nd\r\n.\r\n.\r\n\r\n", False)


def test_bare_cr_is_a_fault_even_where_bare_lf_is_accepted() -> None:
    assert message(each_way(b"DATA\r\na\rb\nc\r\n.\r\n", accept_bare_lf=True))[1]


@pytest.mark.parametrize(
    ("chunks", "bare"),
    [
        ([b"a\r\n"], False),
        ([b"a\r", b"\nb\r\n"], False),
        ([b"a\r", b"", b"\n"], False),
        ([b"a\r", b"b"], True),
        ([b"a\n"], True),
        ([b"a\r"], True),
        ([b"a", b"\nb"], True),
        ([b""], False),
        ([b"no line end"], False),
    ],
)
def test_bare_line_ends_in_chunks(chunks: list[bytes], bare: bool) -> None:
    octets = b"".join(
        b"BDAT %d%s\r\n%s" % (len(chunk), b" LAST" if number == len(chunks) else b"", chunk)
        for number, chunk in enumerate(chunks, 1)
    )
    seen = each_way(octets + b"NOOP\r\n")
    text, fault = message(seen)
    assert fault == bare
    assert text == b"".join(chunks) or text + b"\r" == b"".join(chunks)
    assert seen[-1] == Noop()
    assert message(each_way(octets, binary=True)) == (b"".join(chunks), False)


def test_chunk_holds_what_looks_like_commands() -> None:
    seen = each_way(b"BDAT 15 LAST\r\n.\r\nQUIT\r\nBDAT 5NOOP\r\n")
    assert message(seen) == (b".\r\nQUIT\r\nBDAT 5", False)
    assert seen[-1] == Noop()


def test_over_long_line_is_told_once_and_dropped() -> None:
    for junk in (b"x" * 5000, b"x" * 4095 + b"\r", b"NOOP " + b"y" * 100_000):
        octets = junk + b"\r\nNOOP\r\n"
        assert events([octets]) == [SyntaxFault(replies.LINE_TOO_LONG), Noop()]
        assert events([octets[i : i + 7] for i in range(0, len(octets), 7)]) == events([octets])
    assert events([b"NOOP " + b"x" * 4089 + b"\r\n"]) == [Noop()]


def test_line_without_end_costs_neither_memory_nor_time() -> None:
    connection = Connection()
    began = time.process_time()
    faults = 0
    for _ in range(2000):
        connection.receive_data(b"x" * 16_384)
        while connection.next_event() is not None:
            faults += 1
        assert connection.wants_data
    assert faults == 1
    assert time.process_time() - began < 2


def test_many_small_pieces_of_data_take_linear_time() -> None:
    connection = Connection()
    connection.receive_data(b"DATA\r\n")
    assert connection.next_event() == Data()
    connection.begin_data()
    began = time.process_time()
    kept = 0
    for _ in range(30_000):
        connection.receive_data(b"\r\n..")
        while isinstance(event := connection.next_event(), DataChunk):
            kept += len(event.data)
    assert kept >= 30_000 * 3 - 4
    assert time.process_time() - began < 2


def test_many_pipelined_messages_take_linear_time() -> None:
    began = time.process_time()
    seen = events([b"DATA\r\nx\r\n.\r\n" * 20_000])
    assert seen.count(DataEnd(True, False)) == 20_000
    assert time.process_time() - began < 3


def test_auth_responses() -> None:
    connection = Connection()
    connection.expect_auth_response()
    connection.receive_data(b"QUIT\r\nQUIT\r\n")
    assert connection.next_event() == AuthResponse(b"QUIT")
    assert connection.next_event() == Quit()
    connection.expect_auth_response()
    connection.receive_data(b"A" * 12_286 + b"\r\n")
    assert connection.next_event() == AuthResponse(b"A" * 12_286)
    connection.expect_auth_response()
    connection.receive_data(b"A" * 12_288)
    assert connection.next_event() == AuthResponse(None)
    connection.receive_data(b"AAA\r\nNOOP\r\n")
    assert connection.next_event() == Noop()


def test_reset_drops_what_was_pipelined() -> None:
    connection = Connection()
    connection.receive_data(b"STARTTLS\r\nMAIL FROM:<evil@example.org>\r\n")
    assert connection.next_event() == StartTls()
    assert connection.has_buffered
    connection.reset()
    assert connection.next_event() is None
    connection.receive_data(b"RSET\r\n")
    assert connection.next_event() == Rset()


@pytest.mark.parametrize(
    ("octets", "inside"),
    [
        (b"", False),
        (b"NOOP\r\n", False),
        (b"NOOP", True),
        (b"x" * 5000, True),
        (b"DATA\r\n", True),
        (b"DATA\r\nhalf", True),
        (b"DATA\r\nhalf\r\n.\r", True),
        (b"BDAT 5\r\n123", True),
        (b"DATA\r\nall\r\n.\r\n", False),
    ],
)
def test_half_closed(octets: bytes, inside: bool) -> None:
    seen = events([octets, b"", b""] if octets else [b""])
    assert seen[-1] == Closed(inside)
    assert seen.count(Closed(inside)) == 1


_WORDS = [
    b"DATA",
    b"BDAT 3",
    b"BDAT 2 LAST",
    b"NOOP",
    b"\r\n",
    b"\r",
    b"\n",
    b".",
    b"..",
    b"x",
    b"\0",
    b"\xff",
    b" ",
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(_WORDS), max_size=25).map(b"".join), st.lists(st.integers(0, 80), max_size=5))
def test_any_cut_gives_the_same_events(octets: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(octets)]
    pieces = [octets[a:b] for a, b in itertools.pairwise(places) if a < b]
    if b"".join(pieces) != octets:
        pieces = [octets] if octets else []
    tail = [b""]
    whole = [octets, *tail] if octets else tail

    def settled(seen: list[Event]) -> list[Event]:
        # Of a message that never ends, more or less may have been handed out; of a chunk likewise.
        return seen[:-2] if len(seen) > 1 and isinstance(seen[-2], DataChunk) else seen[:-1]

    assert settled(events(pieces + tail)) == settled(events(whole))
