"""COMPRESS=DEFLATE (RFC 4978): a stream within a stream, in bounded memory."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from typing import Final

from mailwright.net.api import Peer, Stream, TLSInfo

# What we send is compressed within 8 KiB and with small tables: 64 KiB, which a client that rests does not cost.
# A client may use all of the 32 KiB that deflate allows.
_LEVEL: Final = 6
_OUR_WINDOW: Final = -13
_MEMORY: Final = 6
_THEIR_WINDOW: Final = -15
_FLUSHED: Final = b"\x00\x00\xff\xff"  # the end of a flush; what follows begins with an octet of its own
_LAST_BLOCK: Final = b"\x03\x00"  # the end of a stream that was flushed before
PIECE: Final = 64 * 1024  # octets that one read gives at most, whatever they were compressed to


class DeflatedStream:
    """See `net.api.Stream`. What is written goes out at `drain`, so that each batch of replies ends at a flush."""

    __slots__ = (
        "_compressor",
        "_decompressor",
        "_last",
        "_rest",
        "_rest_after",
        "_under",
        "_waiting",
        "local",
        "peer",
        "tls",
    )

    def __init__(self, under: Stream, rest_after: float = 10.0) -> None:
        self.peer: Peer = under.peer
        self.local: Peer = under.local
        self.tls: TLSInfo | None = under.tls
        self._under = under
        self._rest_after = rest_after  # seconds
        self._compressor: zlib._Compress | None = None
        self._decompressor = zlib.decompressobj(_THEIR_WINDOW)
        self._rest: bytes | None = None  # compressed octets not looked at; None: more must come first
        self._last = b""  # the last octets that were looked at
        self._waiting = False  # something was written since the last flush

    async def read(self, timeout: float) -> bytes | None:
        while True:
            if self._decompressor.eof:
                return b""  # the peer has ended its stream
            if self._rest is None:
                data = await self._wait(timeout)
                if not data:
                    return data
                self._rest = data
            else:
                await asyncio.sleep(0)  # others have their turn, however much a small input holds
            found = self._inflate(self._rest)
            if found:
                return found

    async def _wait(self, timeout: float) -> bytes | None:
        if self._compressor is None or timeout <= self._rest_after:
            return await self._under.read(timeout)
        try:
            return await self._under.read(self._rest_after)
        except TimeoutError:
            # After a flush, a new compressor goes on where this one stops: it only refers to nothing before it.
            if not self._waiting:
                self._compressor = None
        return await self._under.read(timeout - self._rest_after)

    def _inflate(self, data: bytes) -> bytes:
        """The next octets, at most PIECE of them: a small input may hold very many.

        What stands behind a flush waits until the next time: it may not be compressed any more.
        """
        flushed = data.rfind(_FLUSHED)
        end = len(data) if flushed < 0 else flushed + len(_FLUSHED)
        try:
            found = self._decompressor.decompress(data[:end], PIECE)
        except zlib.error as error:
            raise ConnectionResetError(f"the peer's compressed octets are damaged: {error}") from error
        self._last = (self._last + data[:end])[-len(_FLUSHED) :]
        # A full piece may leave octets within zlib even when all input is taken.
        rest = self._decompressor.unconsumed_tail + data[end:]
        self._rest = rest if rest or len(found) == PIECE else None
        return found

    def write(self, data: bytes) -> None:
        if data:
            if self._compressor is None:
                self._compressor = _make_compressor()
            self._waiting = True
            self._under.write(self._compressor.compress(data))

    async def drain(self, timeout: float = 60.0) -> None:
        self._flush()
        await self._under.drain(timeout)

    def _flush(self) -> None:
        if self._waiting:
            assert self._compressor is not None
            self._waiting = False
            self._under.write(self._compressor.flush(zlib.Z_SYNC_FLUSH))

    async def end(self, last: bytes, timeout: float) -> tuple[Stream, bytes]:
        """Send these octets and compress no more: the stream beneath, and what has come on it uncompressed.

        The peer's compressed octets end with a flush or with their stream; what is on its way of it is waited for.
        Raises as `read`.
        """
        compressor = self._compressor or _make_compressor()
        self._compressor, self._waiting = None, False
        self._under.write(compressor.compress(last) + compressor.flush(zlib.Z_FINISH))
        await self._under.drain()
        while not self._decompressor.eof and self._last != _FLUSHED:
            data = await self._under.read(timeout)
            if data == b"":
                break
            self._inflate(data or b"")
        rest = self._decompressor.unused_data if self._decompressor.eof else self._rest or b""
        return self._under, rest.removeprefix(_LAST_BLOCK)

    async def start_tls(self, context: ssl.SSLContext, timeout: float = 30.0) -> None:
        raise ConnectionAbortedError("TLS comes before compression, not within it")

    def wake(self) -> None:
        self._under.wake()

    async def close(self) -> None:
        self._flush()
        await self._under.close()

    def abort(self) -> None:
        self._under.abort()


def _make_compressor() -> zlib._Compress:
    return zlib.compressobj(_LEVEL, zlib.DEFLATED, _OUR_WINDOW, _MEMORY)
