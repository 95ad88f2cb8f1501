"""Dialogs in files: `C:` what the client sends, `S:` what the server says, line by line.

`Given: <words>` at the top names what the test must set up, `#` begins a comment. In an `S:` line `...` stands for any
text. `C: (closed)` ends the client's input, `S: (closed)` asserts that the server hung up.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, NamedTuple

from support.streams import MemoryStream

Manner = Literal["whole", "octets", "pipelined"]
CLOSED = "(closed)"


class Turn(NamedTuple):
    """A line of either side."""

    speaker: str  # 'C' or 'S'
    text: str


class Dialog(NamedTuple):
    """A dialog and what it needs."""

    given: frozenset[str]
    turns: tuple[Turn, ...]


def read_dialog(path: Path) -> Dialog:
    """Raises ValueError for a line that is none of a dialog's."""
    given: set[str] = set()
    turns: list[Turn] = []
    for line in path.read_text("utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        head, colon, text = line.partition(":")
        text = text.removeprefix(" ")
        if colon and head == "Given":
            given.add(text)
        elif colon and head in ("C", "S"):
            turns.append(Turn(head, text))
        else:
            raise ValueError(f"{path.name}: {line!r} is no line of a dialog")
    return Dialog(frozenset(given), tuple(turns))


async def play(dialog: Dialog, stream: MemoryStream, manner: Manner) -> None:
    """Speak the client's part and check the server's. `pipelined` sends all at once before it reads."""
    if manner == "pipelined":
        stream.feed(
            "".join(f"{t.text}\r\n" for t in dialog.turns if t.speaker == "C" and t.text != CLOSED).encode()
        )
        if Turn("C", CLOSED) in dialog.turns:
            stream.feed_eof()
    for turn in dialog.turns:
        if turn.speaker == "S":
            said = (await stream.line()).decode()
            expected = "" if turn.text == CLOSED else turn.text
            assert re.fullmatch(re.escape(expected).replace(r"\.\.\.", ".*"), said), (turn.text, said)
        elif manner != "pipelined":
            _say(stream, turn.text, manner)
    assert stream.take() == b""


def _say(stream: MemoryStream, text: str, manner: Manner) -> None:
    if text == CLOSED:
        stream.feed_eof()
        return
    octets = f"{text}\r\n".encode()
    for piece in [octets] if manner == "whole" else [octets[i : i + 1] for i in range(len(octets))]:
        stream.feed(piece)
