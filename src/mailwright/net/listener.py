"""Listeners: accept, read a PROXY header from listed proxies, hold peers to their limits, run a session for each."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import ipaddress
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from mailwright.base.limits import Limits
from mailwright.net.api import Peer
from mailwright.net.errors import CannotListen
from mailwright.net.proxy import BadProxyHeader, parse_proxy_header
from mailwright.net.stream import StreamProtocol

log = logging.getLogger(__name__)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Session(Protocol):
    """One connection's conversation. One that can end by itself has `shut_down()` too; else it is cancelled."""

    async def run(self) -> None:
        """Talk until the end."""
        ...


SessionFactory = Callable[[StreamProtocol], Session]

_PROXY_TIMEOUT = 5.0
_BACKLOG = 1024
# Why an address cannot be had, and what to do.
REASONS = {
    errno.EADDRINUSE: (
        "the port is in use",
        "stop the program that has it (ss -ltnp), or choose another port",
    ),
    errno.EACCES: (
        "this user may not",
        "ports below 1024 need root, or AmbientCapabilities=CAP_NET_BIND_SERVICE",
    ),
    errno.EADDRNOTAVAIL: ("this machine has no such address", "change it in [listeners]"),
}


@dataclass(frozen=True)
class Refusals:
    """What a protocol says to a peer that gets no session."""

    too_many: bytes
    shutting_down: bytes


class Connections:
    """Counts connections, in all and by address, over all listeners of a server."""

    def __init__(self, limits: Limits, exempt: Sequence[Network] = ()) -> None:
        self._limits = limits
        self._exempt = tuple(exempt)
        self._total = 0
        self._by_address: dict[str, int] = {}

    @property
    def total(self) -> int:
        return self._total

    def enter(self, address: str) -> bool:
        """Count a connection in; False when it is one too many."""
        key = _host(address)
        count = self._by_address.get(key, 0)
        if self._total >= self._limits.connections:
            return False
        if count >= self._limits.connections_per_address and not within(address, self._exempt):
            return False
        self._by_address[key] = count + 1
        self._total += 1
        return True

    def leave(self, address: str) -> None:
        """Count a connection out."""
        self._total -= 1
        key = _host(address)
        count = self._by_address.get(key, 0) - 1
        if count > 0:
            self._by_address[key] = count
        else:
            self._by_address.pop(key, None)


@dataclass
class Listener:
    """One listening address of one protocol. `tls` set: TLS from the first octet."""

    name: str
    host: str
    port: int
    session: SessionFactory
    refusals: Refusals
    connections: Connections
    limits: Limits
    tls: Callable[[], ssl.SSLContext] | None = None
    proxies: Sequence[Network] = ()  # addresses that speak PROXY, and must
    _server: asyncio.Server | None = None
    _tasks: dict[StreamProtocol, asyncio.Task[None]] = field(default_factory=dict)
    _sessions: dict[StreamProtocol, Session] = field(default_factory=dict)

    async def start(self) -> None:
        """Listen. Raises CannotListen."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                self._new_stream, self.host, self.port, backlog=_BACKLOG, reuse_address=True
            )
        except OSError as error:
            what, advice = REASONS.get(error.errno or 0, (error.strerror, "change it in [listeners]"))
            where = f"{Peer(self.host, self.port)} for {self.name}"
            raise CannotListen(f"cannot listen on {where}: {what}; {advice}") from error
        sockets = cast("Any", self._server).sockets  # uvloop's are not of the declared type
        for sock in sockets:  # what is accepted there inherits it
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self.port == 0:
            self.port = sockets[0].getsockname()[1]

    def stop_accepting(self) -> None:
        """Take no new connections."""
        if self._server is not None:
            self._server.close()

    async def wait_closed(self, grace: float) -> None:
        """Ask the sessions to end; those that last longer than `grace` seconds are cut off."""
        for stream, task in self._tasks.items():
            shut_down = getattr(self._sessions.get(stream), "shut_down", None)
            if shut_down is not None:
                shut_down()
            else:
                task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks.values()), timeout=grace)
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks.values()), timeout=grace)

    def _new_stream(self) -> asyncio.Protocol:
        limits = self.limits
        stream = StreamProtocol(
            read_ahead=limits.read_ahead, write_ahead=limits.write_ahead, accepted=self.accept
        )
        return cast("asyncio.Protocol", stream)

    def accept(self, stream: StreamProtocol) -> None:
        """Begin a session for a new connection."""
        self._tasks[stream] = asyncio.get_running_loop().create_task(self._run(stream))

    async def _run(self, stream: StreamProtocol) -> None:
        try:
            await self._serve(stream)
            with contextlib.suppress(Exception):
                await stream.close()
        finally:
            self._sessions.pop(stream, None)
            self._tasks.pop(stream, None)

    async def _serve(self, stream: StreamProtocol) -> None:
        try:
            if self.proxies and within(stream.peer.address, self.proxies):
                await _read_proxy_header(stream)
            address = stream.peer.address
            if not self.connections.enter(address):
                log.warning("%s: too many connections, refused %s", self.name, stream.peer)
                self._refuse(stream, self.refusals.too_many)
                return
            try:
                if self.tls is not None:
                    await stream.start_tls(self.tls(), implicit=True)
                session = self._sessions[stream] = self.session(stream)
                await session.run()
                await stream.close()  # who does not take the last of it counts until then
            finally:
                self.connections.leave(address)
        except (ConnectionError, TimeoutError, BadProxyHeader) as error:
            log.info("%s: %s: %s", self.name, stream.peer, str(error) or type(error).__name__)
        except asyncio.CancelledError:
            self._refuse(stream, self.refusals.shutting_down)
        except Exception:
            log.exception("%s: the session of %s failed", self.name, stream.peer)

    def _refuse(self, stream: StreamProtocol, words: bytes) -> None:
        """Say it, unless the peer awaits TLS."""
        if self.tls is None or stream.tls is not None:
            stream.write(words)


@functools.lru_cache(maxsize=4096)
def _host(address: str) -> str:
    """What counts as one host: an IPv4 address, or the /64 that one IPv6 host may take all addresses from."""
    if ":" not in address:
        return address
    return str(ipaddress.ip_network((address, 64), strict=False))


def within(address: str, networks: Sequence[Network]) -> bool:
    """Whether an IP address lies in one of the networks."""
    if not networks or not address:
        return False
    parsed = _parsed(address)
    return parsed is not None and any(
        parsed.version == network.version and parsed in network for network in networks
    )


@functools.lru_cache(maxsize=4096)
def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


async def _read_proxy_header(stream: StreamProtocol) -> None:
    received = b""
    try:
        async with asyncio.timeout(_PROXY_TIMEOUT):
            while (header := parse_proxy_header(received)) is None:
                data = await stream.read(_PROXY_TIMEOUT)
                if not data:
                    raise BadProxyHeader("the proxy closed the connection before its header")
                received += data
    except TimeoutError:
        raise BadProxyHeader("the PROXY header did not come in time") from None
    if header.source is not None:
        stream.peer = Peer(*header.source)
    if header.destination is not None:
        stream.local = Peer(*header.destination)
    stream.unread(received[header.length :])
