"""Dialogs with an IMAP server in files, one to three clients in each. dialogs/README.txt tells their language."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from support.streams import TLS, MemoryStream

from mailwright.net.api import TLSInfo

_PATIENCE: Final = 60.0  # seconds
_SPEECH: Final = re.compile(r"([CS])([1-3]?)([+~!]?): ?(.*)")
_HOLE: Final = re.compile(r"\$\{(\*|[a-z_0-9]+)\}")
_STATUS: Final = re.compile(r"(\* |\S+ )(OK|NO|BAD|BYE|PREAUTH)( |$)")
_ANNOUNCED: Final = re.compile(rb"\{([0-9]+)\}$")


class Turn(NamedTuple):
    """A line of one side. `how` is '' or one of the marks; `literals` belong to the `{|}` of the text."""

    speaker: str  # 'C' or 'S'
    client: int
    how: str
    text: str
    literals: list[str]
    line: int


class Setting(NamedTuple):
    """An `@` line, with the lines that stand below it."""

    words: list[str]
    literal: str
    line: int


class Dialog(NamedTuple):
    name: str
    settings: list[Setting]
    turns: list[Turn]


class Mismatch(AssertionError):
    """The server said something else."""


def read_dialogs(folder: Path) -> list[Dialog]:
    """All dialogs of a folder; a file holds several, each under a line `== name`."""
    found = []
    for path in sorted(folder.glob("*.txt")):
        if path.name != "README.txt":
            found += list(_split(path))
    return found


def _split(path: Path) -> Iterator[Dialog]:
    dialog: Dialog | None = None
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if line.startswith("== "):
            if dialog is not None:
                yield dialog
            dialog = Dialog(f"{path.stem}: {line[3:].strip()}", [], [])
        elif line and not line.startswith("#"):
            if dialog is None:
                raise ValueError(f"{path.name}:{number}: the first dialog has no '== name'")
            _add(dialog, path.name, number, line)
    if dialog is not None:
        yield dialog


def _add(dialog: Dialog, file: str, number: int, line: str) -> None:
    if line.lstrip().startswith("|"):
        content = line.lstrip()[1:].removeprefix(" ") + "\r\n"
        if dialog.turns:
            dialog.turns[-1].literals[-1] += content
        else:
            dialog.settings[-1] = dialog.settings[-1]._replace(literal=dialog.settings[-1].literal + content)
        return
    if line.startswith("@"):
        dialog.settings.append(Setting(line[1:].split(), "", number))
        return
    speech = _SPEECH.fullmatch(line)
    if speech is None:
        raise ValueError(f"{file}:{number}: {line!r} is no line of a dialog")
    speaker, client, how, text = speech.groups()
    if how == "+":
        last = dialog.turns[-1]
        last.literals.append("")
        dialog.turns[-1] = last._replace(text=last.text + text)
    else:
        dialog.turns.append(Turn(speaker, int(client or 1), how, text, [""], number))


class Client(MemoryStream):
    """A client's end of a session, which tells when the server has nothing to do but to listen."""

    def __init__(self, bytewise: bool, tls: TLSInfo | None) -> None:
        super().__init__(tls=tls)
        self.bytewise = bytewise
        self.listening = 0
        self.task: asyncio.Task[None] | None = None

    async def read(self, timeout: float) -> bytes | None:
        self.listening += 1
        try:
            return await super().read(timeout)
        finally:
            self.listening -= 1

    @property
    def quiet(self) -> bool:
        return self.closed or (self.listening > 0 and not self._input and not self._woken)

    def say(self, data: bytes) -> None:
        for piece in (data[i : i + 1] for i in range(len(data))) if self.bytewise else (data,):
            self.feed(piece)

    async def response(self) -> str:
        """The next response with its literals, each after its announcement and CRLF; '' once the server hung up."""
        found = bytearray()
        while True:
            line = await self.line()
            found += line
            announced = _ANNOUNCED.search(line)
            if announced is None:
                return found.decode("utf-8", "surrogateescape")
            found += b"\r\n" + await self._octets(int(announced.group(1)))

    async def _octets(self, count: int) -> bytes:
        async with asyncio.timeout(_PATIENCE):
            while len(self._output) < count:
                if self.closed:
                    raise Mismatch("the server hung up in the middle of a literal")
                await self._change()
        data = bytes(self._output[:count])
        del self._output[:count]
        return data

    @property
    def unread(self) -> bytes:
        return bytes(self._output)


class Player:
    """Plays the clients' lines and compares the server's. `clients` holds them by number.

    Who speaks when the server has spoken waits until it has told all clients what it had to say; `news` is waited for
    then, and before another client listens.
    """

    def __init__(
        self,
        dialog: Dialog,
        clients: dict[int, Client],
        values: dict[str, str] | None = None,
        news: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.news = news
        self.dialog = dialog
        self.clients = clients
        self.values: dict[str, str] = dict(values or {})

    async def play(self) -> None:
        turns = self.dialog.turns
        index = 0
        while index < len(turns):
            turn = turns[index]
            before = turns[index - 1] if index else turn
            answers = (before.speaker, turn.speaker) == ("S", "C")
            if self.news is not None and (answers or before.client != turn.client):
                await self.news()
            if answers:
                await self._settle()
            if turn.speaker == "C":
                self._expect_nothing_unread(turn)
                await self._say(turn, turns[index + 1] if index + 1 < len(turns) else None)
                index += 1
            else:
                index = await self._listen(index)
        await self._settle()
        for number, client in self.clients.items():
            if client.unread:
                raise Mismatch(f"{self.dialog.name}: client {number} was also told {client.unread!r}")

    def _expect_nothing_unread(self, turn: Turn) -> None:
        unread = self.clients[turn.client].unread
        if unread:
            raise Mismatch(f"{self._where(turn)}: the server has also said {unread!r}")

    def _where(self, turn: Turn) -> str:
        return f"{self.dialog.name}, line {turn.line}"

    async def _say(self, turn: Turn, following: Turn | None) -> None:
        client = self.clients[turn.client]
        if turn.how == "!":
            client.say(self._fill(turn.text).encode("latin-1").decode("unicode_escape").encode("latin-1"))
            return
        if turn.text == "(eof)":
            client.feed_eof()
            return
        literals = iter(turn.literals)
        rest = self._fill(turn.text)
        while (hole := re.search(r"\{\|(\+?)\}", rest)) is not None:
            content = self._fill(next(literals)).encode()
            client.say(f"{rest[: hole.start()]}{{{len(content)}{hole.group(1)}}}\r\n".encode())
            if not hole.group(1) and not await self._invited(client):
                return
            client.say(content)
            rest = rest[hole.end() :]
        client.say(f"{rest}\r\n".encode())

    async def _invited(self, client: Client) -> bool:
        """Whether the server asks for the literal; else its reply is left to be compared."""
        await self._settle()
        if not client.unread.startswith(b"+"):
            return False
        await client.line()
        return True

    async def _listen(self, index: int) -> int:
        """Compare the server's lines from this turn on; the next turn's index."""
        turns = self.dialog.turns
        turn = turns[index]
        client = self.clients[turn.client]
        if turn.text == "(nothing)":
            await self._settle()
            self._expect_nothing_unread(turn)
            return index + 1
        if turn.text == "...":
            await self._skip(turns[index + 1], client)
            return index + 1
        if turn.how == "~":
            stop = index
            while stop < len(turns) and turns[stop][:3] == ("S", turn.client, "~"):
                stop += 1
            await self._listen_unordered(turns[index:stop], client)
            return stop
        said = await self._response(client, turn)
        if not self._fits(turn, said):
            raise Mismatch(f"{self._where(turn)}:\n  expected {self._shown(turn)!r}\n  but was  {said!r}")
        return index + 1

    async def _response(self, client: Client, turn: Turn) -> str:
        try:
            return await client.response() or "(closed)"
        except TimeoutError:
            raise Mismatch(
                f"{self._where(turn)}: expected {self._shown(turn)!r}, but the server is silent"
            ) from None

    async def _skip(self, wanted: Turn, client: Client) -> None:
        """Pass over responses until one fits the next line, and leave that."""
        while True:
            before = client.unread
            said = await self._response(client, wanted)
            if self._fits(wanted, said):
                after = client.unread
                client._output[:] = before if len(before) > len(after) else said.encode() + b"\r\n" + after
                return
            if said == "(closed)":
                raise Mismatch(f"{self._where(wanted)}: the server hung up before {wanted.text!r}")

    async def _listen_unordered(self, turns: list[Turn], client: Client) -> None:
        waiting = list(turns)
        while waiting:
            said = await self._response(client, waiting[0])
            fitting = next((turn for turn in waiting if self._fits(turn, said)), None)
            if fitting is None:
                raise Mismatch(
                    f"{self._where(turns[0])}:\n  expected one of {[t.text for t in waiting]}\n  but was {said!r}"
                )
            waiting.remove(fitting)

    async def _settle(self) -> None:
        """Wait until every session only listens."""
        async with asyncio.timeout(_PATIENCE):
            while not all(client.quiet for client in self.clients.values()):
                await asyncio.sleep(0.001)

    def _fill(self, text: str) -> str:
        return _HOLE.sub(lambda hole: self.values[hole.group(1)], text)

    def _shown(self, turn: Turn) -> str:
        literals = iter(turn.literals)

        def content(hole: re.Match[str]) -> str:
            literal = next(literals)
            literal = literal.removesuffix("\r\n") if hole.group(1) else literal
            return f"{{{len(literal.encode())}}}\r\n{literal}"

        return re.sub(r"\{\|(-?)\}", content, turn.text)

    def _fits(self, turn: Turn, said: str) -> bool:
        pattern = ""
        names: list[str] = []
        place = 0
        text = self._shown(turn)
        for hole in _HOLE.finditer(text):
            name = hole.group(1)
            pattern += re.escape(text[place : hole.start()])
            if name == "*":
                pattern += ".*"
            elif name in self.values:
                pattern += re.escape(self.values[name])
            elif name in names:
                pattern += f"(?P=v_{name})"
            else:
                names.append(name)
                pattern += rf'(?P<v_{name}>[^\s()\[\]"]+)'
            place = hole.end()
        pattern += re.escape(text[place:])
        if _STATUS.match(text):
            pattern += r"(?:\b.*|(?<=\]).*)?"  # the words are for people
        found = re.fullmatch(pattern, said, re.DOTALL)
        if found is None:
            return False
        self.values |= {name: found.group(f"v_{name}") for name in names}
        return True


def tls_info() -> TLSInfo:
    return TLS
