"""The dialogs in dialogs/*.txt, through a session: by blocks, an octet at a time, and pipelined.

    = setting...             relay, submission, lmtp; tls, plaintext, lf, requiretls; size= recipients= errors= ...
    C: text                  the client sends the line and CRLF
    R: text                  it sends this exactly, with Python's escapes
    S: text                  the server says the line; `...` at its end stands for anything
    T:                       the TLS handshake
    X: eof|timeout|reset|shutdown|wait SECONDS
    K: from -> to, to: text  what the house has kept in the end, with Python's escapes

A dialog ends at the next `=` line. `= ... paced` is not run pipelined.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from smtp.house import TLS_INFO, House, MemoryStream

from mailwright.base.limits import Limits
from mailwright.smtp.api import Policy, Role
from mailwright.smtp.session import Session

Piece = bytes | Callable[[], None]


class Dialog(NamedTuple):
    name: str
    settings: list[str]
    lines: list[tuple[str, str]]


def dialogs() -> list[Dialog]:
    found: list[Dialog] = []
    for file in sorted((Path(__file__).parent / "dialogs").glob("*.txt")):
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if line.startswith("= "):
                found.append(Dialog(f"{file.stem}:{number}", line[2:].split(), []))
            elif line and not line.startswith("#"):
                kind, _, text = line.partition(":")
                assert kind in ("C", "R", "S", "T", "X", "K"), f"{file}:{number}: {line}"
                found[-1].lines.append((kind, text.removeprefix(" ")))
    return found


def unescape(text: str) -> bytes:
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape").encode("latin-1")


def sent(kind: str, text: str) -> bytes:
    return unescape(text) if kind == "R" else text.encode() + b"\r\n"


class Run:
    """A dialog against a session of its own."""

    def __init__(self, dialog: Dialog, way: str) -> None:
        self.dialog = dialog
        self.house = House()
        settings = dict(word.partition("=")[::2] for word in dialog.settings)
        limits = {
            name: int(settings[key])
            for key, name in (
                ("size", "message_size"),
                ("recipients", "recipients"),
                ("errors", "smtp_errors"),
                ("commands", "smtp_commands"),
                ("transactions", "smtp_transactions"),
            )
            if key in settings
        }
        policy = Policy(
            next(role for role in Role if role.value in settings),
            "mx.example.org",
            Limits(**limits),
            tls_context=lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
            allow_plaintext_auth="plaintext" in settings,
            server_secret=b"secret",
            accept_bare_lf="lf" in settings,
            requiretls="requiretls" in settings,
            error_delay=0,
            auth_delay=0,
        )
        self.stream = MemoryStream(self.blocks(way), TLS_INFO if "tls" in settings else None)
        self.session = Session(self.stream, policy, self.house, self.house, self.house.clock)

    def blocks(self, way: str) -> list[list[Piece]]:
        blocks: list[list[Piece]] = [[]]
        last = ""
        for kind, text in self.dialog.lines:
            if kind in "CR":
                if last not in ("C", "R") and way != "pipelined":
                    blocks.append([])
                octets = sent(kind, text)
                if way == "octets":
                    blocks[-1].extend(octets[i : i + 1] for i in range(len(octets)))
                elif blocks[-1] and isinstance(blocks[-1][-1], bytes):
                    blocks[-1][-1] += octets
                else:
                    blocks[-1].append(octets)
            elif kind == "X":
                blocks.append([self.happening(text)])
            last = kind
        return blocks

    def happening(self, text: str) -> Callable[[], None]:
        def happen() -> None:
            word, _, number = text.partition(" ")
            if word == "timeout":
                raise TimeoutError
            if word == "reset":
                raise ConnectionResetError("reset by peer")
            if word == "shutdown":
                self.session.shut_down()
            if word == "wait":
                self.house.clock.advance(float(number))

        return happen

    def play(self) -> None:
        asyncio.run(self.session.run())
        assert self.stream.closed
        assert all(message.closed for message in self.house.opened)


def matches(line: str, pattern: str) -> bool:
    return line.startswith(pattern[:-3]) if pattern.endswith("...") else line == pattern


def check_said(said: bytes, patterns: list[str], where: str) -> None:
    assert not said or said.endswith(b"\r\n"), where
    lines = said.decode("ascii").split("\r\n")[:-1]
    for number, pattern in enumerate(patterns):
        line = lines[number] if number < len(lines) else "(nothing)"
        assert matches(line, pattern), f"{where}: expected {pattern!r}, got {line!r}"
    assert len(lines) == len(patterns), f"{where}: also said {lines[len(patterns) :]}"


def groups(dialog: Dialog) -> list[tuple[str, list[str], bytes]]:
    """Who speaks in turn: ('C', [], octets), ('S', patterns, b''), ('T', ...)."""
    turns: list[tuple[str, list[str], bytes]] = []
    for kind, text in dialog.lines:
        if kind in "XK":
            continue
        who = "C" if kind == "R" else kind
        if not turns or turns[-1][0] != who:
            turns.append((who, [], b""))
        if who == "C":
            turns[-1] = ("C", [], turns[-1][2] + sent(kind, text))
        elif who == "S":
            turns[-1][1].append(text)
    return turns


def check_kept(dialog: Dialog, house: House) -> None:
    kept = []
    for _, envelope, data in house.kept:
        to = ", ".join(str(recipient.path) for recipient in envelope.recipients)
        kept.append((str(envelope.reverse_path), to, data))
    expected = []
    for kind, text in dialog.lines:
        if kind == "K":
            match = re.fullmatch(r"(\S*) ?-> ([^:]*): (.*)", text)
            assert match, text
            expected.append((match[1], match[2], unescape(match[3])))
    assert kept == expected, dialog.name


@pytest.mark.parametrize("dialog", dialogs(), ids=lambda dialog: dialog.name)
def test_dialog_in_turn(dialog: Dialog) -> None:
    run = Run(dialog, "blocks")
    run.play()
    turns = groups(dialog)
    actual = run.stream.transcript
    for number, (who, patterns, octets) in enumerate(turns):
        where = f"{dialog.name}, turn {number}"
        assert number < len(actual), f"{where}: the session ended, expected {who} {patterns or octets!r}"
        assert actual[number][0] == who, (
            f"{where}: expected {who} {patterns or octets!r}, got {actual[number]}"
        )
        if who == "S":
            check_said(actual[number][1], patterns, where)
        elif who == "C":
            # After a goodbye the rest of what the client sent may never be read.
            assert octets.startswith(actual[number][1]), where
    assert len(actual) == len(turns), actual[len(turns) :]
    check_kept(dialog, run.house)


def cut_and_joined() -> list[tuple[Dialog, str]]:
    paced = [dialog for dialog in dialogs() if "paced" in dialog.settings]
    return [
        (dialog, way)
        for dialog in dialogs()
        for way in ("octets", "pipelined")
        if way == "octets" or dialog not in paced
    ]


@pytest.mark.parametrize(("dialog", "way"), cut_and_joined(), ids=lambda value: getattr(value, "name", value))
def test_dialog_cut_and_joined(dialog: Dialog, way: str) -> None:
    run = Run(dialog, way)
    run.play()
    check_said(run.stream.said, [text for kind, text in dialog.lines if kind == "S"], dialog.name)
    check_kept(dialog, run.house)
