"""TCP and TLS as a `net.api.Stream`.

TLS is done here over memory BIOs, not by the event loop: the loops' own layer keeps 256 KiB of buffers for each
connection, and cannot drop what was read before STARTTLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import cast

from mailwright.net.api import Peer, TLSInfo

_TLS_PIECE = 16 * 1024  # one TLS record
_CLOSE_WAIT = 30.0  # seconds for the peer to take the last of what was written


class StreamProtocol:
    """A peer's connection, read by pull; see `net.api.Stream` for the contract.

    It has the methods of an `asyncio.Protocol`, which a compiled class cannot inherit. `accepted` is called once it is
    connected; `write_ahead` None leaves the event loop's own limit.
    """

    __slots__ = (
        "_accepted",
        "_closed",
        "_deadline",
        "_eof",
        "_failure",
        "_incoming",
        "_local",
        "_loop",
        "_outgoing",
        "_paused",
        "_read_ahead",
        "_received",
        "_ssl",
        "_timer",
        "_transport",
        "_waiter",
        "_waiting",
        "_woken",
        "_write_ahead",
        "_writer",
        "peer",
        "tls",
    )

    def __init__(
        self,
        *,
        read_ahead: int = 64 * 1024,
        write_ahead: int | None = None,
        accepted: Callable[[StreamProtocol], None] | None = None,
    ) -> None:
        self.peer = Peer("")
        self._local: Peer | None = None
        self.tls: TLSInfo | None = None
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()  # asked once: in Python 3.11 each asking is a system call
        self._received: list[bytes] = []
        self._waiting = 0
        self._read_ahead = read_ahead
        self._write_ahead = write_ahead
        self._accepted = accepted
        self._paused = False
        self._eof = False
        self._closed = False
        self._woken = False
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None  # outlives a wait: most waits end long before it
        self._writer: asyncio.Future[None] | None = None
        self._ssl: ssl.SSLObject | None = None
        self._incoming: ssl.MemoryBIO | None = None
        self._outgoing: ssl.MemoryBIO | None = None

    @property
    def local(self) -> Peer:
        """Our side of the connection: where it leads to, by what the PROXY header says if there is one."""
        if self._local is None:
            name = self._transport.get_extra_info("sockname") if self._transport is not None else None
            self._local = _endpoint(name)
        return self._local

    @local.setter
    def local(self, peer: Peer) -> None:
        self._local = peer

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.peer = _endpoint(transport.get_extra_info("peername"))
        if self._write_ahead is not None:
            self._transport.set_write_buffer_limits(self._write_ahead)
        if self._accepted is not None:
            self._accepted(self)

    def data_received(self, data: bytes) -> None:
        self._received.append(data)
        self._waiting += len(data)
        if self._waiting >= self._read_ahead and not self._paused and self._transport is not None:
            self._transport.pause_reading()
            self._paused = True
        self._resume_reader()

    def eof_received(self) -> bool:
        self._eof = True
        self._resume_reader()
        return True  # half-closed: the replies still go out

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = self._eof = True
        self._failure = exc
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._resume_reader()
        self._resume_writer()

    def pause_writing(self) -> None:
        if self._writer is None:
            self._writer = self._loop.create_future()

    def resume_writing(self) -> None:
        self._resume_writer()

    # Stream

    async def read(self, timeout: float) -> bytes | None:
        while True:
            if self._ssl is None:
                if self._received:
                    return self._take()
            else:
                data = self._decrypt()
                if data is not None:
                    return data
            if self._woken:
                self._woken = False
                return None
            if self._eof:
                if self._failure is not None:
                    raise ConnectionResetError(str(self._failure)) from self._failure
                return b""
            await self._news(timeout)

    def write(self, data: bytes) -> None:
        if self._transport is None or self._closed or not data:
            return
        if self._ssl is not None:
            with contextlib.suppress(ssl.SSLError):
                self._ssl.write(data)
            self._flush_tls()
        elif (
            self._outgoing is None
        ):  # in a handshake, and after one that failed, nothing is said in the clear
            self._transport.write(data)

    async def drain(self, timeout: float = 60.0) -> None:
        if self._closed:
            raise ConnectionResetError("the peer has closed the connection")
        while self._writer is not None:
            await _within(self._writer, timeout)
            if self._closed:
                raise ConnectionResetError("the peer has closed the connection")

    async def start_tls(
        self, context: ssl.SSLContext, timeout: float = 30.0, *, implicit: bool = False
    ) -> None:
        if not implicit:  # else what came already is the ClientHello
            self._drop_received()
        await self._handshake(context, None, True, timeout)

    async def start_client_tls(
        self, context: ssl.SSLContext, server_name: str | None, timeout: float = 30.0
    ) -> ssl.SSLObject:
        """Shake hands as client; the SSL object tells the peer's certificates. Raises as `start_tls`."""
        self._drop_received()
        await self._handshake(context, server_name, False, timeout)
        assert self._ssl is not None
        return self._ssl

    def unread(self, data: bytes) -> None:
        """Give octets back, to be read again first: what stood behind a PROXY header."""
        if data:
            self._received.insert(0, data)
            self._waiting += len(data)

    def wake(self) -> None:
        self._woken = True
        self._resume_reader()

    async def close(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._ssl is not None:
            with contextlib.suppress(ssl.SSLError):
                self._ssl.unwrap()
            self._flush_tls()
        self._transport.set_write_buffer_limits(0)  # from here on `drain` waits until all is sent
        try:
            await self.drain(_CLOSE_WAIT)
        except (TimeoutError, ConnectionError):
            self.abort()
            return
        self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # Reading

    def _take(self) -> bytes:
        data = self._received[0] if len(self._received) == 1 else b"".join(self._received)
        self._received.clear()
        self._waiting = 0
        if self._paused and self._transport is not None and not self._closed:
            self._paused = False
            self._transport.resume_reading()
        return data

    def _drop_received(self) -> None:
        if self._received:
            self._take()

    def _news(self, timeout: float) -> asyncio.Future[None]:
        """Done when something has happened; TimeoutError when nothing did for so long."""
        loop = self._loop
        waiter = self._waiter = loop.create_future()
        self._deadline = loop.time() + timeout
        if self._timer is None or self._timer.when() > self._deadline:
            self._set_timer()
        return waiter

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline, self._look_at_clock)

    def _look_at_clock(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() >= self._deadline:
            self._waiter.set_exception(TimeoutError())
        else:
            self._set_timer()

    def _resume_reader(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _resume_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None and not writer.done():
            writer.set_result(None)

    # TLS

    def _decrypt(self) -> bytes | None:
        """Decrypted octets, b'' at the end, None when more must come first."""
        assert self._ssl is not None
        assert self._incoming is not None
        if self._received:
            self._incoming.write(self._take())
        pieces: list[bytes] = []
        size = 0
        try:
            while size < self._read_ahead:
                piece = self._ssl.read(_TLS_PIECE)
                if not piece:
                    self._eof = True
                    break
                pieces.append(piece)
                size += len(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._eof = True
        except ssl.SSLError as error:
            self._flush_tls()
            if not pieces:
                raise ConnectionResetError(f"TLS failed: {error.reason or error}") from error
        self._flush_tls()
        return b"".join(pieces) if pieces else None

    def _flush_tls(self) -> None:
        assert self._outgoing is not None
        if self._outgoing.pending and self._transport is not None and not self._closed:
            self._transport.write(self._outgoing.read())

    async def _handshake(
        self, context: ssl.SSLContext, server_name: str | None, server_side: bool, timeout: float
    ) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing, server_side=server_side, server_hostname=server_name)
        self._outgoing = outgoing
        loop = self._loop
        deadline = loop.time() + timeout
        while not self._is_shaken(session):
            await self._more(incoming, deadline - loop.time())
        self._ssl, self._incoming = session, incoming
        self._flush_tls()
        self.tls = _describe(session, context)

    def _is_shaken(self, session: ssl.SSLObject) -> bool:
        """Go on with the handshake; False when the peer must say more first."""
        try:
            session.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            raise ConnectionResetError(f"TLS handshake failed: {_reason(error)}") from error
        finally:
            self._flush_tls()  # the alert too
        return True

    async def _more(self, incoming: ssl.MemoryBIO, timeout: float) -> None:
        while not self._received:
            if self._eof:
                raise ConnectionResetError("the peer closed the connection in the TLS handshake")
            try:
                await self._news(timeout)
            except TimeoutError:
                raise TimeoutError("the TLS handshake took too long") from None
        incoming.write(self._take())


async def connect(
    host: str,
    port: int,
    *,
    timeout: float = 30.0,
    source: tuple[str, int] | None = None,
    sock: object | None = None,
) -> StreamProtocol:
    """Connect to an IP address, or take over a connected socket. Raises OSError, TimeoutError."""
    loop = asyncio.get_running_loop()
    stream = StreamProtocol()

    def as_protocol() -> asyncio.Protocol:
        return cast("asyncio.Protocol", stream)

    async with asyncio.timeout(timeout):
        if sock is not None:
            await loop.create_connection(as_protocol, sock=sock)  # type: ignore[call-overload]
        else:
            await loop.create_connection(as_protocol, host, port, local_addr=source)
    return stream


async def _within(future: asyncio.Future[None], timeout: float) -> None:
    async with asyncio.timeout(timeout):
        await asyncio.shield(future)


def _endpoint(name: object) -> Peer:
    if isinstance(name, tuple) and len(name) >= 2:
        address = str(name[0]).partition("%")[0]
        return Peer(address.removeprefix("::ffff:") if "." in address else address, int(name[1]))
    return Peer("")


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return str(error.reason or error)


def _describe(session: ssl.SSLObject, context: ssl.SSLContext) -> TLSInfo:
    cipher = session.cipher()
    version = session.version() or ""
    # Who is offered -PLUS under TLS 1.3 binds to tls-exporter (RFC 9266 3), which Python's ssl cannot give. GNU SASL's
    # programs, neomutt and newer msmtp among them, would then not log in at all.
    end_point = getattr(context, "end_point", None) if version != "TLSv1.3" else None
    return TLSInfo(
        version=version,
        cipher=cipher[0] if cipher else "",
        server_name=getattr(session, "server_name", None),
        server_end_point=end_point,  # of `tls.ServerContext`
    )
