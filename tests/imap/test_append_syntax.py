"""APPEND and REPLACE around their literals: the wire machine with messages in parts."""

from __future__ import annotations

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
    MessageEnd,
    SyntaxFault,
    TextPart,
    UrlPart,
)
from mailwright.imap.syntax.append import AppendArgs
from mailwright.imap.syntax.flags import Flags
from mailwright.imap.syntax.store import AppendMessage

IN_PARTS = AppendMessage(Flags(), None, False, 0, False, catenate=True)


def events_of(data: bytes, size: int, utf8: bool = False, refuse: int = -1) -> list[Event]:
    """All events of a client that sends so many octets at a time; the `refuse`th announced literal is refused."""
    machine = Connection(PARSERS, 2000, 1000, 5000)
    machine.utf8 = utf8
    found: list[Event] = []
    announced = 0
    waiting = [data[at : at + size] for at in range(0, len(data), size)] + [b""]
    while True:
        event = machine.next_event()
        if event is None:
            machine.receive_data(waiting.pop(0))
            continue
        if isinstance(event, LiteralChunk) and found and isinstance(found[-1], LiteralChunk):
            found[-1] = LiteralChunk(found[-1].data + event.data)
            continue
        found.append(event)
        if isinstance(event, Closed):
            return found
        whole = (
            isinstance(event, Command)
            and isinstance(event.args, AppendArgs)
            and not event.args.message.catenate
        )
        if (
            isinstance(event, TextPart)
            or whole
            or (isinstance(event, Message) and not event.message.catenate)
        ):
            if announced == refuse:
                machine.abandon_append()
            else:
                machine.accept_message()
            announced += 1


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_parts_come_in_their_order(size: int) -> None:
    text = (
        b'a APPEND x CATENATE (URL {2+}\r\n/a TEXT {3+}\r\none URL "/b" URL /c TEXT {0+}\r\n URL /d)'
        b" {4+}\r\nlast\r\nb NOOP\r\n"
    )
    assert events_of(text, size) == [
        Command("a", "APPEND", False, AppendArgs("x", IN_PARTS)),
        UrlPart(b"/a"),
        TextPart(3),
        LiteralChunk(b"one"),
        LiteralEnd(),
        UrlPart(b"/b"),
        UrlPart(b"/c"),
        TextPart(0),
        LiteralEnd(),
        UrlPart(b"/d"),
        MessageEnd(),
        Message("a", AppendMessage(Flags(), None, False, 4, False)),
        LiteralChunk(b"last"),
        LiteralEnd(),
        CommandEnd("a"),
        Command("b", "NOOP", False, None),
        Closed(),
    ]


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize("refuse", [0, 1, 2])
def test_what_is_refused_is_dropped_to_its_end(size: int, refuse: int) -> None:
    text = (
        b"a APPEND x CATENATE (TEXT {3+}\r\none URL {2+}\r\n/a TEXT {9+}\r\nc NOOP\r\n )"
        b" (\\Seen) {4+}\r\nlast\r\nb NOOP\r\n"
    )
    found = events_of(text, size, refuse=refuse)
    assert found[-2:] == [Command("b", "NOOP", False, None), Closed()]
    assert len([event for event in found if isinstance(event, Command)]) == 2


def test_a_synchronising_part_is_not_sent_when_it_is_refused() -> None:
    found = events_of(b"a APPEND x CATENATE (TEXT {3}\r\nb NOOP\r\n", 1000, refuse=0)
    assert found[-2:] == [Command("b", "NOOP", False, None), Closed()]


@pytest.mark.parametrize(
    "text",
    [
        b"CATENATE",
        b"CATENATE (",
        b"CATENATE ()",
        b"CATENATE (URL)",
        b"CATENATE (URL /a",
        b"CATENATE (URL /a) x",
        b"CATENATE (URL /a)(URL /b)",
        b"CATENATE (TEXT)",
        b"CATENATE (TEXT /a)",
        b"CATENATE (URL /a URL)",
        b"CATENATE (URL /aURL /b",
        b"UTF8 (x)",
        b"(\\Seen)CATENATE (URL /a)",
        b"",
    ],
)
def test_malformed(text: bytes) -> None:
    fault, after, closed = events_of(b"a APPEND x " + text + b"\r\nb NOOP\r\n", 1000, utf8=True)
    assert isinstance(fault, SyntaxFault)
    assert (fault.tag, fault.condition) == ("a", "BAD")
    assert after == Command("b", "NOOP", False, None)
    assert closed == Closed()


def test_many_literals_of_urls_are_bounded() -> None:
    text = b"a APPEND x CATENATE (" + b"URL {900+}\r\n" + b"x" * 900
    text += (b" URL {900+}\r\n" + b"x" * 900) * 50 + b")\r\nb NOOP\r\n"
    fault, after, _ = events_of(text, 1000)
    assert isinstance(fault, SyntaxFault)
    assert fault.code == "TOOBIG"
    assert after == Command("b", "NOOP", False, None)


TEXTS = st.lists(
    st.sampled_from(
        [
            b"a APPEND x ", b"a REPLACE 1 x ", b"a UID REPLACE * x ", b"CATENATE (", b"TEXT ", b"URL ", b"/a",
            b'"/b"', b" ", b")", b"UTF8 (", b"{3+}\r\none", b"~{3+}\r\ntwo", b"{0+}\r\n", b"(\\Seen) ", b"\r\n",
            b"b NOOP\r\n", b"{7000+}\r\n",
        ]
    ),
    max_size=20,
).map(b"".join)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(text=TEXTS, size=st.integers(1, 9), refuse=st.integers(-1, 3))
def test_octets_by_octets_or_whole(text: bytes, size: int, refuse: int) -> None:
    assert events_of(text, size, True, refuse) == events_of(text, 100_000, True, refuse)
