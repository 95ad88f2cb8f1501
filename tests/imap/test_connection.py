"""The wire machine: whole or octet by octet, hostile or not."""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.imap.commands.table import PARSERS
from mailwright.imap.connection import (
    Closed,
    Command,
    CommandEnd,
    Connection,
    Event,
    LiteralChunk,
    LiteralEnd,
    Message,
    SyntaxFault,
)
from mailwright.imap.syntax import command


def connection(line: int = 200, literal: int = 100, append: int = 1000) -> Connection:
    return Connection(PARSERS, line, literal, append)


def talk(pieces: Iterable[bytes], machine: Connection | None = None) -> tuple[list[Event], bytes]:
    """All events, chunks of one literal joined, and all continuation requests."""
    machine = machine or connection()
    events: list[Event] = []
    output = b""
    for piece in [*pieces, b""]:
        machine.receive_data(piece)
        while (event := machine.next_event()) is not None:
            output += machine.output()
            if isinstance(event, Message) or (isinstance(event, Command) and event.name == "APPEND"):
                machine.accept_message()
            if isinstance(event, LiteralChunk) and events and isinstance(last := events[-1], LiteralChunk):
                events.pop()
                event = LiteralChunk(last.data + event.data)
            events.append(event)
            if isinstance(event, Closed):
                return events, output + machine.output()
        output += machine.output()
    raise AssertionError("the machine never saw the end of input")


def octets(data: bytes) -> list[bytes]:
    return [data[index : index + 1] for index in range(len(data))]


STREAMS = [
    b"a NOOP\r\nb NOOP\nc NOOP\r\n",
    b"a LOGIN {5+}\r\nalice {6}\r\nsecret\r\nb NOOP\r\n",
    b"a APPEND INBOX (\\Seen) {5+}\r\nhello\r\nb NOOP\r\n",
    b"a APPEND {5}\r\nINBOX {5}\r\nhello {3+}\r\nbye\r\nb NOOP\r\n",
    b"a APPEND INBOX {5000+}\r\n" + b"x" * 5000 + b"\r\nb NOOP\r\n",
    b"a APPEND INBOX {5+}\r\nhello {5000+}\r\n" + b"x" * 5000 + b" {3+}\r\nabc\r\nb NOOP\r\n",
    b"a LOGIN {500+}\r\n" + b"x" * 500 + b" {500+}\r\n" + b"y" * 500 + b"\r\nb NOOP\r\n",
    b"a LOGIN " + b"x" * 500 + b"\r\nb NOOP\r\n",
    b"a LOGIN " + b"x" * 500 + b" {9+}\r\nc NOOP\r\n\r\n\r\nb NOOP\r\n",
    b"a APPEND INBOX {5+}\r\nhello" + b"x" * 500 + b"\r\nb NOOP\r\n",
    b"a LOGIN " + b"x" * 191 + b"\r\n" + b"a LOGIN " + b"x" * 192 + b"\nb NOOP\r\n",
    b"\r\n\r\n {5}\r\n* NOOP\r\na\r\n{3+}\r\nabc\r\n",
    b"a UID FETCH 1:* (FLAGS)\r\na UID\r\nuid uid uid\r\n",
]


@pytest.mark.parametrize("data", STREAMS, ids=range(len(STREAMS)))
def test_octet_by_octet_is_the_same_as_whole(data: bytes) -> None:
    assert talk(octets(data)) == talk([data])


WORDS = st.sampled_from(
    rb"a |NOOP|LOGIN |APPEND |INBOX |{3}|{3+}|abc| |(|)|\|*".split(b"|")
    + b'\r\n|\n|{3+}\r\n|{150+}\r\n|{2000+}\r\n|~{2}\r\n|"|\r|\x00|\xff'.split(b"|")
    + [b"x" * 90]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(WORDS, max_size=25), st.integers(1, 40))
def test_any_input_gives_the_same_events_however_it_is_cut(words: list[bytes], width: int) -> None:
    data = b"".join(words)
    whole = talk([data])
    assert talk(octets(data)) == whole
    assert talk([data[start : start + width] for start in range(0, len(data), width)]) == whole


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_any_octets_end_in_closed(data: bytes) -> None:
    events, _ = talk([data])
    assert events[-1] == Closed()


def test_append_is_streamed() -> None:
    machine = connection(append=10**8)
    machine.receive_data(b"a APPEND INBOX (\\Seen) {50000000}\r\n")
    event = machine.next_event()
    assert isinstance(event, Command)
    assert event.args.mailbox == "INBOX"
    assert event.args.message.size == 50_000_000
    assert machine.output() == b""
    machine.accept_message()
    assert machine.output() == b"+ OK\r\n"
    piece = b"x" * 50_000
    for _ in range(1000):
        machine.receive_data(piece)
        assert machine.next_event() == LiteralChunk(piece)
    assert machine.next_event() == LiteralEnd()
    machine.receive_data(b"\r\n")
    assert machine.next_event() == CommandEnd("a")


def test_a_literal_is_not_asked_for_before_earlier_commands_are_taken() -> None:
    machine = connection()
    machine.receive_data(b"a NOOP\r\nb LOGIN {5}\r\n")
    assert isinstance(machine.next_event(), Command)
    assert machine.output() == b""
    assert machine.next_event() is None
    assert machine.output() == b"+ OK\r\n"


def test_reset_forgets_everything() -> None:
    machine = connection()
    machine.receive_data(b"a STARTTLS\r\nb LOGIN {5}\r\nabc")
    assert isinstance(machine.next_event(), Command)
    machine.reset()
    assert machine.next_event() is None
    machine.receive_data(b"c NOOP\r\n")
    assert machine.next_event() == Command("c", "NOOP", False, None)


def test_a_line_asked_for_is_no_command() -> None:
    machine = connection()
    machine.receive_data(b"a IDLE\r\nDONE\r\nb NOOP\r\n")
    assert isinstance(machine.next_event(), Command)
    machine.expect_line()
    assert machine.next_event() == (b"DONE",)
    assert machine.next_event() == Command("b", "NOOP", False, None)


def test_an_abandoned_append_is_passed_over() -> None:
    for sent in (b"", b"01234", b"0123456789", b"0123456789 {3+}\r\nabc"):
        machine = connection()
        machine.receive_data(b"a APPEND INBOX {10+}\r\n" + sent)
        assert isinstance(machine.next_event(), Command)
        if sent:
            machine.accept_message()
            assert isinstance(machine.next_event(), LiteralChunk)
        machine.abandon_append()
        rest = (b"0123456789 {3+}\r\nabc")[len(sent) :]
        machine.receive_data(rest + b"\r\nb NOOP\r\n")
        assert machine.next_event() == Command("b", "NOOP", False, None), sent


def test_endless_input_stays_bounded_and_cheap() -> None:
    machine = connection(line=65_536, literal=65_536)
    started = time.process_time()
    faults = 0
    for _ in range(500):
        machine.receive_data(b"A" * 65_536)
        while (event := machine.next_event()) is not None:
            faults += isinstance(event, SyntaxFault)
        assert len(machine._buffer) <= 2 * 65_536
    for octet in octets(b"x" * 100_000):
        machine.receive_data(octet)
        assert machine.next_event() is None
    machine.receive_data(b"\r\na NOOP\r\n")
    assert isinstance(machine.next_event(), SyntaxFault)
    assert machine.next_event() == Command("a", "NOOP", False, None)
    assert time.process_time() - started < 3


def test_a_long_line_octet_by_octet_is_not_quadratic() -> None:
    machine = connection(line=65_536, literal=65_536)
    started = time.process_time()
    for octet in octets(b"a LOGIN {60000+}\r\n" + b"x" * 60_000 + b" " + b"y" * 60_000 + b"\r\n"):
        machine.receive_data(octet)
        event = machine.next_event()
    assert isinstance(event, Command)
    assert time.process_time() - started < 2


SAID = [
    b"NOOP",
    b"noop ",
    b"UID NOOP",
    b"SELECT &U,BTFw-",
    b"SELECT &AGE-",
    b"SELECT inbox",
    b"EXAMINE {5+}\r\nINBOX",
    b'LIST "" (%) RETURN (STATUS (MESSAGES))',
    b"STATUS INBOX (MESSAGES UNSEEN)",
    b"STATUS INBOX (MESSAGES NONSENSE)",
    b"LOGIN alice secret",
    b"SELECT " + b"x" * 300,
]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"a", b"b2", b"+", b"a b", b"", b"x" * 255, b"x" * 256, b"(", b"\xff"]),
            st.sampled_from(SAID),
            st.booleans(),
        ),
        max_size=8,
    )
)
def test_what_was_said_before_is_understood_as_if_it_was_not(said: list[tuple[bytes, bytes, bool]]) -> None:
    def understood(tag: bytes, rest: bytes, utf8: bool) -> list[Event]:
        machine = connection(line=600)
        machine.utf8 = utf8
        return talk([tag + b" " + rest + b"\r\n"], machine)[0]

    def forget() -> None:
        command._said.clear()
        command._said_in_utf8.clear()

    at_first = []
    for one in said:
        forget()
        at_first.append(understood(*one))
    forget()
    assert [understood(*one) for one in said + said] == at_first + at_first


def test_no_password_is_remembered() -> None:
    talk([b"a LOGIN alice secret\r\nb LOGIN alice secret\r\nc SELECT INBOX\r\n"])
    assert not any(b"secret" in rest for rest in command._said)
    assert b" SELECT INBOX" in command._said
