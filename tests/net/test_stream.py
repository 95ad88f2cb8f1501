"""Streams over real TCP and TLS: reading by pull, deadlines, back-pressure, STARTTLS."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gc
import ipaddress
import logging
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from mailwright.base.limits import Limits
from mailwright.net.errors import CannotListen
from mailwright.net.listener import Connections, Listener, Refusals, Session
from mailwright.net.stream import StreamProtocol, connect
from mailwright.tls.certificates import ensure_self_signed, server_context

Talk = Callable[[StreamProtocol], Awaitable[None]]
LOOPBACK = [ipaddress.ip_network("127.0.0.0/8")]
REFUSALS = Refusals(b"BUSY\r\n", b"STOPPING\r\n")


class Talker:
    """A session made of one function."""

    def __init__(self, stream: StreamProtocol, talk: Talk) -> None:
        self.stream = stream
        self.talk = talk

    async def run(self) -> None:
        await self.talk(self.stream)


@contextlib.asynccontextmanager
async def serving(talk: Talk, limits: Limits | None = None, **options: object) -> AsyncIterator[Listener]:
    limits = limits or Limits()

    def session(stream: StreamProtocol) -> Session:
        return Talker(stream, talk)

    listener = Listener("test", "127.0.0.1", 0, session, REFUSALS, Connections(limits), limits, **options)  # type: ignore[arg-type]
    await listener.start()
    try:
        yield listener
    finally:
        listener.stop_accepting()
        await listener.wait_closed(2)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    return ensure_self_signed(folder, ["localhost"], datetime.datetime.now(datetime.UTC))


def client_context(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def read_all(stream: StreamProtocol) -> bytes:
    found = b""
    while data := await stream.read(30):
        found += data
    return found


async def echo(stream: StreamProtocol) -> None:
    while data := await stream.read(30):
        stream.write(data)
        await stream.drain()


async def test_half_closed_input_is_answered() -> None:
    async with serving(echo) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"hello")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 30) == b"hello"
        writer.close()


async def test_a_silent_peer_times_out() -> None:
    timed_out = asyncio.Event()

    async def talk(stream: StreamProtocol) -> None:
        with pytest.raises(TimeoutError):
            await stream.read(0.05)
        timed_out.set()

    async with serving(talk) as listener:
        stream = await connect("127.0.0.1", listener.port)
        await asyncio.wait_for(timed_out.wait(), 30)
        await stream.close()


async def test_wake_interrupts_a_read_once() -> None:
    seen: list[bytes | None] = []
    ended = asyncio.Event()

    async def talk(stream: StreamProtocol) -> None:
        asyncio.get_running_loop().call_later(0.02, stream.wake)
        seen.append(await stream.read(30))
        stream.write(b"go")
        seen.append(await stream.read(30))
        seen.append(await stream.read(30))
        ended.set()

    async with serving(talk) as listener:
        stream = await connect("127.0.0.1", listener.port)
        assert await stream.read(30) == b"go"
        stream.write(b"data")
        await stream.close()
        await asyncio.wait_for(ended.wait(), 30)
    assert seen == [None, b"data", b""]


async def test_what_waits_to_be_read_is_bounded() -> None:
    limits = Limits(read_ahead=16 * 1024)
    release = asyncio.Event()
    largest = 0

    async def talk(stream: StreamProtocol) -> None:
        nonlocal largest
        await release.wait()
        while data := await stream.read(30):
            largest = max(largest, len(data))

    async with serving(talk, limits) as listener:
        stream = await connect("127.0.0.1", listener.port)
        for _ in range(64):
            stream.write(bytes(64 * 1024))
        await asyncio.sleep(0.1)
        release.set()
        await stream.drain(30)
        await stream.close()
        await asyncio.sleep(0.05)
    assert 0 < largest <= 16 * 1024 + 256 * 1024  # read_ahead, and what the loop had read at once


async def test_a_peer_that_takes_nothing_stops_the_writer() -> None:
    stopped = asyncio.Event()

    async def talk(stream: StreamProtocol) -> None:
        for _ in range(1000):
            stream.write(bytes(1024 * 1024))
            try:
                await stream.drain(0.1)
            except TimeoutError:
                stopped.set()
                stream.abort()
                return

    async with serving(talk) as listener:
        _, writer = await asyncio.open_connection("127.0.0.1", listener.port, limit=1024)
        await asyncio.wait_for(stopped.wait(), 30)
        writer.close()


async def test_tls_from_the_first_octet(certificate: tuple[Path, Path]) -> None:
    server = server_context(*certificate)
    async with serving(echo, tls=lambda: server) as listener:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", listener.port, ssl=client_context(certificate[0]), server_hostname="localhost"
        )
        payload = bytes(range(256)) * 4096
        writer.write(payload)
        assert await asyncio.wait_for(reader.readexactly(len(payload)), 30) == payload
        writer.close()


@pytest.mark.parametrize(
    ("version", "bound"), [(ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, False)]
)
async def test_what_was_pipelined_before_starttls_is_dropped(
    certificate: tuple[Path, Path], version: ssl.TLSVersion, bound: bool
) -> None:
    server = server_context(*certificate)
    heard: list[bytes | None] = []
    info = None
    asked, injected = asyncio.Event(), asyncio.Event()

    async def talk(stream: StreamProtocol) -> None:
        nonlocal info
        heard.append(await stream.read(30))
        asked.set()
        await injected.wait()
        await until(lambda: bool(stream._received))  # the injected line has come
        stream.write(b"ready")
        await stream.start_tls(server)
        info = stream.tls
        heard.append(await stream.read(30))
        stream.write(b"secret")

    async with serving(talk) as listener:
        stream = await connect("127.0.0.1", listener.port)
        stream.write(b"STARTTLS\r\n")
        await asked.wait()
        stream.write(b"INJECTED\r\n")
        injected.set()
        assert await stream.read(30) == b"ready"
        context = client_context(certificate[0])
        context.maximum_version = version
        session = await stream.start_client_tls(context, "localhost")
        assert session.getpeercert()
        stream.write(b"hello")
        assert await stream.read(30) == b"secret"
        await stream.close()
    assert heard == [b"STARTTLS\r\n", b"hello"]
    assert info is not None
    assert info.version == ("TLSv1.2" if bound else "TLSv1.3")
    assert server.end_point
    assert info.server_end_point == (server.end_point if bound else None)


async def test_a_client_refuses_a_certificate_for_another_name(certificate: tuple[Path, Path]) -> None:
    server = server_context(*certificate)
    async with serving(echo, tls=lambda: server) as listener:
        stream = await connect("127.0.0.1", listener.port)
        with pytest.raises(ConnectionError, match="not valid for"):
            await stream.start_client_tls(client_context(certificate[0]), "mail.example.org")
        stream.abort()


@pytest.mark.parametrize("garbage", [b"EHLO x\r\n", b"\x16\x03\x01\x00\x05hello", bytes(5000)])
async def test_a_broken_handshake_ends_the_connection(certificate: tuple[Path, Path], garbage: bytes) -> None:
    server = server_context(*certificate)
    async with serving(echo, tls=lambda: server) as listener:
        stream = await connect("127.0.0.1", listener.port)
        stream.write(garbage)
        with contextlib.suppress(ConnectionError):
            await read_all(stream)
        await until(lambda: listener.connections.total == 0)


async def test_a_tls_connection_that_breaks_off_ends(certificate: tuple[Path, Path]) -> None:
    server = server_context(*certificate)
    ended = asyncio.Event()

    async def talk(stream: StreamProtocol) -> None:
        with contextlib.suppress(ConnectionError):
            await read_all(stream)
        ended.set()

    async with serving(talk, tls=lambda: server) as listener:
        stream = await connect("127.0.0.1", listener.port)
        await stream.start_client_tls(client_context(certificate[0]), "localhost")
        stream.write(b"half a l")
        stream.abort()
        await asyncio.wait_for(ended.wait(), 30)


async def test_many_handshakes_at_once_leave_nothing_behind(
    certificate: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    server = server_context(*certificate)

    async def visit(port: int) -> None:
        stream = await connect("127.0.0.1", port)
        await stream.start_client_tls(client_context(certificate[0]), "localhost")
        stream.write(b"hello")
        assert await stream.read(30) == b"hello"
        stream.abort()

    async with serving(echo, tls=lambda: server) as listener:
        await asyncio.gather(*(visit(listener.port) for _ in range(30)))
        while listener.connections.total:
            await asyncio.sleep(0.01)
    gc.collect()
    await asyncio.sleep(0)
    assert sys.exc_info() == (None, None, None)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


async def test_too_many_connections_from_one_address_are_refused() -> None:
    async with serving(echo, Limits(connections_per_address=2)) as listener:
        first = [await connect("127.0.0.1", listener.port) for _ in range(2)]
        await until(lambda: listener.connections.total == 2)
        third = await connect("127.0.0.1", listener.port)
        assert await read_all(third) == b"BUSY\r\n"
        await first[0].close()
        await until(lambda: listener.connections.total == 1)
        fourth = await connect("127.0.0.1", listener.port)
        fourth.write(b"x")
        assert await fourth.read(30) == b"x"
        for stream in (first[1], fourth):
            await stream.close()


async def test_a_shutdown_tells_those_who_wait() -> None:
    async with serving(echo) as listener:
        stream = await connect("127.0.0.1", listener.port)
        await until(lambda: listener.connections.total == 1)
        listener.stop_accepting()
        await listener.wait_closed(2)
        assert await read_all(stream) == b"STOPPING\r\n"


async def test_the_proxy_header_tells_the_peer() -> None:
    peers: list[str] = []

    async def talk(stream: StreamProtocol) -> None:
        peers.append(str(stream.peer))
        await echo(stream)

    async with serving(talk, proxies=LOOPBACK) as listener:
        stream = await connect("127.0.0.1", listener.port)
        stream.write(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 25\r\nEHLO")
        assert await stream.read(30) == b"EHLO"
        await stream.close()
        liar = await connect("127.0.0.1", listener.port)
        liar.write(b"EHLO there\r\n")
        assert await read_all(liar) == b""
    assert peers == ["192.0.2.7:4711"]


async def test_a_proxy_header_must_come_in_time(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailwright.net.listener._PROXY_TIMEOUT", 0.2)
    caplog.set_level(logging.INFO)
    async with serving(echo, proxies=LOOPBACK) as listener:
        stream = await connect("127.0.0.1", listener.port)
        for octet in b"PROXY TCP4 192.0.2.7 198.51.100.1 4711":  # each in time
            stream.write(bytes([octet]))
            await asyncio.sleep(0.02)
        with contextlib.suppress(ConnectionError):
            assert await read_all(stream) == b""
    assert "the PROXY header did not come in time" in caplog.text


async def test_who_awaits_tls_is_told_nothing_in_the_clear(certificate: tuple[Path, Path]) -> None:
    server = server_context(*certificate)

    async def upgrade(stream: StreamProtocol) -> None:
        stream.write(b"READY\r\n")
        try:
            await stream.start_tls(server)
        except asyncio.CancelledError:
            stream.write(b"STOPPING\r\n")

    for talk, tls in ((echo, lambda: server), (upgrade, None)):
        async with serving(talk, tls=tls) as listener:
            stream = await connect("127.0.0.1", listener.port)
            await until(lambda: listener.connections.total == 1)
            listener.stop_accepting()
            await listener.wait_closed(2)
            assert await read_all(stream) in (b"", b"READY\r\n")


async def test_who_does_not_take_the_last_of_it_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = asyncio.Event()

    async def talk(stream: StreamProtocol) -> None:
        stream.write(bytes(16 * 1024 * 1024))  # more than the system takes
        with pytest.raises(TimeoutError):
            await stream.drain(0.05)
        assert isinstance(stream._transport, asyncio.Transport)
        stream._transport.set_write_buffer_limits(32 * 1024 * 1024)  # as if it were less than may wait
        ended.set()

    async with serving(talk) as listener:
        with socket.create_connection(("127.0.0.1", listener.port)):
            await ended.wait()
            await asyncio.sleep(0.1)
            assert listener.connections.total == 1, "it counts while it is waited for"
        ended.clear()
        monkeypatch.setattr("mailwright.net.stream._CLOSE_WAIT", 0.2)
        with socket.create_connection(("127.0.0.1", listener.port)) as client:
            await ended.wait()
            await until(lambda: listener.connections.total == 0)
            client.settimeout(30)
            # Apart, since the loop may have yet to close the socket.
            assert await asyncio.to_thread(count_octets, client) < 16 * 1024 * 1024


def count_octets(client: socket.socket) -> int:
    """How many come before the end."""
    received = 0
    while data := client.recv(1024 * 1024):
        received += len(data)
    return received


def test_an_ipv6_host_cannot_take_all_its_addresses() -> None:
    connections = Connections(Limits(connections_per_address=1))
    assert connections.enter("2001:db8:1:2::1")
    assert not connections.enter("2001:db8:1:2::ffff")
    assert connections.enter("2001:db8:1:3::1")
    connections.leave("2001:db8:1:2::1")
    assert connections.enter("2001:db8:1:2::ffff")


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("127.0.0.1", "the port is in use; stop the program"),
        ("192.0.2.1", "this machine has no such address; change it in"),
    ],
)
async def test_why_an_address_cannot_be_had(host: str, why: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        limits = Limits()
        listener = Listener(
            "imap", host, port, lambda _: pytest.fail("nobody came"), REFUSALS, Connections(limits), limits
        )
        with pytest.raises(CannotListen, match=f"cannot listen on {host}:{port} for imap: .*{why}"):
            await listener.start()
