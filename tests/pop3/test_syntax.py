"""Command lines, well-formed and otherwise."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.pop3.commands.table import TABLE
from mailwright.pop3.syntax import NAMES, Auth, Command, SyntaxFault, parse_command


def test_the_table_has_every_command_of_the_grammar() -> None:
    assert set(TABLE) == NAMES


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"QUIT", Command("QUIT")),
        (b"quit", Command("QUIT")),
        (b"Quit  ", Command("QUIT")),
        (b"LIST", Command("LIST")),
        (b"LIST 7", Command("LIST", 7)),
        (b"UIDL 007 ", Command("UIDL", 7)),
        (b"TOP 1 0", Command("TOP", 1, 0)),
        (b"TOP  12   34", Command("TOP", 12, 34)),
        (b"RETR 4294967295", Command("RETR", 4294967295)),
        (b"USER ann b ", Command("USER", text="ann b")),
        (b"PASS  two words ", Command("PASS", text=" two words ")),
        ("PASS пароль".encode(), Command("PASS", text="пароль")),
        (b"AUTH", Auth()),
        (b"auth scram-sha-256", Auth("SCRAM-SHA-256")),
        (b"AUTH PLAIN =", Auth("PLAIN", b"")),
        (b"AUTH PLAIN AGEAYg==", Auth("PLAIN", b"\0a\0b")),
        (b"LANG", Command("LANG")),
        (b"LANG de", Command("LANG", text="de")),
    ],
)
def test_commands(line: bytes, command: Command | Auth) -> None:
    assert parse_command(line) == command


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b" ",
        b" QUIT",
        b"QUIT now",
        b"QUI\0T",
        b"\xff\xfe",
        b"FROBNICATE",
        b"X" * 250,
        b"LIST a",
        b"LIST +1",
        b"LIST 0",
        b"LIST 1.5",
        b"LIST \xd9\xa1",
        b"LIST 1 2",
        b"RETR",
        b"RETR 00",
        b"DELE 12345678901",
        b"TOP 1",
        b"TOP 1 -1",
        b"TOP 1 2 3",
        b"USER",
        b"USER  ",
        b"USER \xff",
        b"PASS \xe4",
        b"AUTH PLAIN A",
        b"AUTH PLAIN *",
        b"AUTH PLAIN a b c",
        b"AUTH \xff",
        b"AUTH " + b"A" * 21,
        b"LANG a b",
    ],
)
def test_faults(line: bytes) -> None:
    assert isinstance(parse_command(line), SyntaxFault)


@given(
    st.binary(max_size=100)
    | st.builds(
        lambda name, rest: name.encode() + b" " + rest, st.sampled_from(sorted(NAMES)), st.binary(max_size=60)
    )
)
@settings(max_examples=200, deadline=None)
def test_any_line_is_a_known_command_or_a_fault(line: bytes) -> None:
    parsed = parse_command(line)
    if isinstance(parsed, SyntaxFault):
        assert parsed.text
        assert parsed.text.isascii()
    else:
        assert parsed.name in TABLE
        assert line.upper().startswith(parsed.name.encode())


@given(st.binary(max_size=300), st.sampled_from(["PLAIN", "scram-sha-256"]))
@settings(max_examples=100, deadline=None)
def test_initial_responses_come_back(data: bytes, mechanism: str) -> None:
    line = b"AUTH " + mechanism.encode() + b" " + (base64.b64encode(data) or b"=")
    assert parse_command(line) == Auth(mechanism.upper(), data)


def test_long_lines_are_cheap() -> None:
    begin = time.process_time()
    for line in (
        b"AUTH " + b" " * 12_000,
        b"AUTH " + b"A " * 6_000,
        b"USER " + b" " * 12_000,
        b"LIST " + b"1" * 12_000,
    ):
        assert isinstance(parse_command(line), SyntaxFault | Auth)
    assert time.process_time() - begin < 1
