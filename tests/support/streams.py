"""A `net.api.Stream` without a network: a test feeds what the client sends and reads what it is told."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque

from mailwright.net.api import Peer, TLSInfo

TLS = TLSInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384", "mail.example.org", b"\x01" * 32)
_PATIENCE = 60.0  # seconds that a test waits for the server


class MemoryStream:
    """Each `feed` is one `read` of the session. With `write_ahead`, `drain` waits until the client takes the rest."""

    def __init__(
        self, *, address: str = "192.0.2.1", tls: TLSInfo | None = None, write_ahead: int | None = None
    ) -> None:
        self.peer = Peer(address, 40000)
        self.local = Peer("192.0.2.25", 110)
        self.tls = tls
        self.tls_after_handshake = TLS
        self.closed = False
        self.most_unread = 0  # octets
        self._write_ahead = write_ahead
        self._input: deque[bytes] = deque()
        self._eof = False
        self._lost = False
        self._woken = False
        self._output = bytearray()
        self._changed = asyncio.Event()

    # The client's side

    def feed(self, data: bytes) -> None:
        """Octets from the client."""
        self._input.append(data)
        self._changed.set()

    def feed_eof(self) -> None:
        """The client sends no more, but still reads."""
        self._eof = True
        self._changed.set()

    def lose(self) -> None:
        """The client is gone."""
        self._lost = True
        self._changed.set()

    def take(self) -> bytes:
        """All that the client was told and has not read."""
        data = bytes(self._output)
        self._output.clear()
        self._changed.set()
        return data

    async def line(self) -> bytes:
        """The next line that the client is told, without its CRLF; b'' when the server closed before one."""
        async with asyncio.timeout(_PATIENCE):
            while (end := self._output.find(b"\r\n")) < 0:
                if self.closed:
                    return b""
                await self._change()
        line = bytes(self._output[:end])
        del self._output[: end + 2]
        self._changed.set()
        return line

    async def rest(self) -> bytes:
        """All that the client is told until the server closes."""
        data = b""
        async with asyncio.timeout(_PATIENCE):
            while not self.closed:
                data += self.take()
                await self._change()
        return data + self.take()

    # Stream

    async def read(self, timeout: float) -> bytes | None:
        async with asyncio.timeout(timeout):
            while True:
                if self._lost:
                    raise ConnectionResetError("the peer is gone")
                if self._input:
                    return self._input.popleft()
                if self._woken:
                    self._woken = False
                    return None
                if self._eof:
                    return b""
                await self._change()

    def write(self, data: bytes) -> None:
        if not self._lost and not self.closed:
            self._output += data
            self.most_unread = max(self.most_unread, len(self._output))
            self._changed.set()

    async def drain(self, timeout: float = 60.0) -> None:
        async with asyncio.timeout(timeout):
            while not self._lost and self._write_ahead is not None and len(self._output) > self._write_ahead:
                await self._change()
        if self._lost:
            raise ConnectionResetError("the peer is gone")

    async def start_tls(self, context: ssl.SSLContext, timeout: float = 30.0) -> None:
        self._input.clear()
        self.tls = self.tls_after_handshake

    def wake(self) -> None:
        self._woken = True
        self._changed.set()

    async def close(self) -> None:
        self.closed = True
        self._changed.set()

    def abort(self) -> None:
        self.closed = True
        self._changed.set()

    async def _change(self) -> None:
        """Wait until either side did something."""
        self._changed = asyncio.Event() if self._changed.is_set() else self._changed
        await self._changed.wait()
