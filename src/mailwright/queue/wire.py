"""A connection to a peer: the client's pure machine over a stream, with deadlines and a transcript."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Final

from mailwright.net.api import TLSInfo
from mailwright.net.stream import StreamProtocol
from mailwright.smtp.client import ClientConnection, Closed, Event, PeerFault, ReplyReceived
from mailwright.smtp.replies import Reply

# RFC 5321 4.5.3.2, in seconds
GREETING_TIMEOUT: Final = 300.0
COMMAND_TIMEOUT: Final = 300.0
DATA_TIMEOUT: Final = 120.0
BLOCK_TIMEOUT: Final = 180.0
FINAL_TIMEOUT: Final = 600.0
QUIT_TIMEOUT: Final = 5.0

MAX_TRANSCRIPT: Final = 200  # lines of one message
_MAX_LINE: Final = 300


class Lost(Exception):
    """The connection is of no use any more. The text says what happened."""


class Wire:
    """Commands out, replies in. After `Lost`, or a 421, it can only be closed."""

    def __init__(self, stream: StreamProtocol, *, lmtp: bool = False) -> None:
        self.stream = stream
        self.machine = ClientConnection(lmtp=lmtp)
        self.is_lost = False
        self.served = 0  # messages
        self._transcript: list[tuple[str, bytes | Reply]] = []

    @property
    def tls(self) -> TLSInfo | None:
        return self.stream.tls

    def send(self, octets: bytes, told: bytes | None = None) -> None:
        """Write commands; `told` stands in the transcript instead of what is secret or long."""
        self.stream.write(octets)
        self.note(octets if told is None else told)

    def note(self, told: bytes) -> None:
        """Put a line into the transcript."""
        if len(self._transcript) < MAX_TRANSCRIPT:
            self._transcript.append(("C", told))

    async def reply(self, timeout: float = COMMAND_TIMEOUT) -> ReplyReceived:
        """The next reply, complete within `timeout` however slowly it trickles in. Raises Lost."""
        event = self.machine.next_event() or await self._next_event(timeout)
        if isinstance(event, ReplyReceived):
            if len(self._transcript) < MAX_TRANSCRIPT:
                self._transcript.append(("S", event.reply))
            if event.reply.code == 421:
                self.is_lost = True
            return event
        self.is_lost = True
        if isinstance(event, PeerFault):
            raise Lost(event.text)
        assert isinstance(event, Closed)
        raise Lost("the peer closed the connection")

    async def _next_event(self, timeout: float) -> Event:
        machine = self.machine
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        left = timeout
        while True:
            try:
                data = await self.stream.read(left)
            except TimeoutError:
                self.is_lost = True
                raise Lost(f"no reply within {timeout:.0f} s") from None
            except ConnectionError as error:
                self.is_lost = True
                raise Lost(f"the connection broke: {error}") from None
            machine.receive_data(data or b"")
            event = machine.next_event()
            if event is not None:
                return event
            left = deadline - loop.time()
            if left <= 0:
                self.is_lost = True
                raise Lost(f"no complete reply within {timeout:.0f} s")

    async def drain(self) -> None:
        """Wait until the peer takes more. Raises Lost."""
        try:
            await self.stream.drain(BLOCK_TIMEOUT)
        except TimeoutError:
            self.is_lost = True
            raise Lost(f"the peer took nothing for {BLOCK_TIMEOUT:.0f} s") from None
        except ConnectionError as error:
            self.is_lost = True
            raise Lost(f"the connection broke: {error}") from None

    async def start_tls(self, context: ssl.SSLContext, name: str | None) -> ssl.SSLObject:
        """Shake hands, and forget what was said in the clear (RFC 3207 4.2). Raises Lost."""
        try:
            session = await self.stream.start_client_tls(context, name)
        except (ConnectionError, TimeoutError, OSError, ValueError) as error:
            self.is_lost = True
            raise Lost(str(error)) from None
        self.machine.reset()
        return session

    def take_transcript(self) -> list[str]:
        """What was said since the last time, without contents and secrets."""
        said, self._transcript = self._transcript, []
        lines: list[str] = []
        for who, what in said:
            if isinstance(what, Reply):
                text = reply_text(what)
                lines.append(f"{who}: {text[:_MAX_LINE]}")
            else:
                lines += [
                    f"{who}: {line[:_MAX_LINE]}" for line in what.decode("utf-8", "replace").splitlines()
                ]
        return lines

    async def close(self) -> None:
        """Say goodbye if that still makes sense, and wait a moment for the answer (RFC 5321 4.1.1.10)."""
        if self.is_lost:
            self.stream.abort()
            return
        self.is_lost = True
        self.send(self.machine.quit())
        with contextlib.suppress(Lost):
            await self.reply(QUIT_TIMEOUT)
        await self.stream.close()

    def abort(self) -> None:
        self.is_lost = True
        self.stream.abort()


def reply_text(reply: Reply) -> str:
    """A reply on one line, as it came."""
    lines = reply.lines
    text = lines[0] if len(lines) == 1 else " ".join(line for line in lines if line)
    if reply.enhanced:
        text = f"{reply.enhanced} {text}" if text else reply.enhanced
    return f"{reply.code} {text}" if text else str(reply.code)
