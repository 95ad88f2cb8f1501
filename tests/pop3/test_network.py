"""The whole way over TCP and TLS, with Python's poplib on the other side."""

from __future__ import annotations

import asyncio
import contextlib
import poplib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from support.pop3 import ADDRESS, PASSWORD, Pop3House, listening

from mailwright.pop3 import responses
from mailwright.tls.certificates import server_context

T = TypeVar("T")
ONE = b"Subject: one\r\n\r\n.dot\r\nHello\r\n"


@pytest.fixture
def trusting(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate[0]))


async def client(work: Callable[[], T]) -> T:
    return await asyncio.wait_for(asyncio.to_thread(work), 120)


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "stls"])
async def test_poplib(
    house: Pop3House, certificate: tuple[Path, Path], trusting: ssl.SSLContext, tls: bool
) -> None:
    large = b"Subject: large\r\n\r\n" + b"".join(b".line %d\r\n" % n for n in range(200_000))
    await house.put(ONE, large, ONE)

    def work() -> None:
        pop: poplib.POP3
        if tls:
            pop = poplib.POP3_SSL("localhost", listener.port, timeout=60, context=trusting)
        else:
            pop = poplib.POP3("localhost", listener.port, timeout=60)
            assert "SASL" not in pop.capa()
            pop.stls(trusting)
        assert pop.capa()["SASL"] == ["SCRAM-SHA-256", "PLAIN", "LOGIN"]
        assert pop.utf8().startswith(b"+OK")
        pop.user(ADDRESS)
        with pytest.raises(poplib.error_proto, match="AUTH"):
            pop.pass_("wrong")
        pop.user(ADDRESS)
        pop.pass_(PASSWORD)
        assert pop.stat() == (3, 2 * len(ONE) + len(large))
        assert pop.list()[1][1] == b"2 %d" % len(large)
        assert len({line.split()[1] for line in pop.uidl()[1]}) == 3
        for number, content in ((1, ONE), (2, large), (3, ONE)):
            assert b"\r\n".join([*pop.retr(number)[1], b""]) == content
        assert pop.top(2, 3)[1] == large.split(b"\r\n")[:5]
        pop.dele(1)
        pop.dele(2)
        pop.quit()

    async with listening(house, server_context(*certificate), tls=tls) as listener:
        await client(work)
    assert await house.kept() == [3]


async def test_commands_injected_before_stls_are_dropped(
    house: Pop3House, certificate: tuple[Path, Path], trusting: ssl.SSLContext
) -> None:
    def work() -> None:
        with socket.create_connection(("localhost", listener.port), timeout=60) as plain:
            assert plain.recv(1000).startswith(b"+OK")
            plain.sendall(b"STLS\r\nUSER eve\r\nNOOP\r\nNOOP\r\n")
            assert plain.recv(1000) == b"+OK Begin TLS now\r\n"
            with trusting.wrap_socket(plain, server_hostname="localhost") as secured:
                secured.sendall(b"PASS x\r\n")
                assert secured.recv(1000) == b"-ERR Send USER first\r\n"

    async with listening(house, server_context(*certificate), tls=False) as listener:
        await client(work)


async def test_a_dropped_connection_removes_nothing_and_unlocks(
    house: Pop3House, certificate: tuple[Path, Path], trusting: ssl.SSLContext
) -> None:
    await house.put(ONE)

    def log_in() -> poplib.POP3_SSL:
        pop = poplib.POP3_SSL("localhost", listener.port, timeout=60, context=trusting)
        pop.user(ADDRESS)
        pop.pass_(PASSWORD)
        return pop

    def work() -> None:
        first = log_in()
        first.dele(1)
        with pytest.raises(poplib.error_proto, match="IN-USE"):
            log_in()
        first.close()
        for _ in range(100):
            with contextlib.suppress(poplib.error_proto):
                assert log_in().stat() == (1, len(ONE))
                return
        raise AssertionError("the maildrop stayed locked")

    async with listening(house, server_context(*certificate), tls=True) as listener:
        await client(work)
    assert await house.kept() == [1]


async def test_shutting_down_is_told(house: Pop3House, certificate: tuple[Path, Path]) -> None:
    async with listening(house, server_context(*certificate), tls=False) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        assert (await reader.readline()).startswith(b"+OK")
        listener.stop_accepting()
        await listener.wait_closed(10)
        assert await reader.read() == responses.SHUTTING_DOWN
        writer.close()


async def test_a_half_closed_client_gets_its_replies(
    house: Pop3House, certificate: tuple[Path, Path]
) -> None:
    async with listening(house, server_context(*certificate), tls=False) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"CAPA\r\nQUIT\r\n")
        writer.write_eof()
        said = await asyncio.wait_for(reader.read(), 60)
        assert said.endswith(b".\r\n+OK Goodbye\r\n")
        writer.close()
