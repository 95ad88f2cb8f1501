"""A bare IMAP client that measures the server and not itself: it counts octets and looks for the tag."""

from __future__ import annotations

import functools
import re
import socket
import ssl
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from support.demo import Account

from .servers import Server

_TAIL = 8192  # a tagged line may hold a long list of capabilities


class Client:
    """One connection. A command's response is read to its tagged line and, unless asked for, thrown away."""

    def __init__(
        self,
        address: tuple[str, int],
        account: Account | None = None,
        tls: bool = False,
        buffer: int = 1 << 20,
    ) -> None:
        plain = socket.create_connection(address, 30)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = _insecure().wrap_socket(plain) if tls else plain
        self.socket.settimeout(600)
        self._buffer = bytearray(buffer)
        self._number = 0
        self._greet()
        if account:
            self.command(f'LOGIN {account.address} "{account.password}"')

    def _greet(self) -> None:
        greeting = b""
        while not greeting.endswith(b"\r\n"):
            data = self.socket.recv(4096)
            if not data:
                raise ConnectionError("closed before the greeting")
            greeting += data

    def command(self, text: str) -> bytes:
        """The whole response to a command. Raises RuntimeError when the server does not say OK."""
        kept: list[bytes] = []
        self.finish(self.send(text), kept)
        return b"".join(kept)

    def timed(self, text: str) -> tuple[float, int]:
        """Send a command; the seconds until its tagged line, and the octets that came."""
        start = time.perf_counter()
        octets = self.finish(self.send(text))
        return time.perf_counter() - start, octets

    def send(self, text: str) -> bytes:
        """Send a command; its tag."""
        self._number += 1
        tag = b"t%08x" % (self._number * 2654435761 % 2**32)
        self.socket.sendall(tag + b" " + text.encode() + b"\r\n")
        return tag

    def finish(self, tag: bytes, kept: list[bytes] | None = None) -> int:
        """Read up to the line that begins with `tag`; the number of octets."""
        view, tail, octets = memoryview(self._buffer), b"\r\n", 0
        while count := self.socket.recv_into(view):
            octets += count
            if kept is not None:
                kept.append(bytes(view[:count]))
            tail = (tail + bytes(view[max(0, count - _TAIL) : count]))[-_TAIL:]
            start = tail.rfind(b"\r\n" + tag + b" ")
            if start >= 0 and tail.endswith(b"\r\n"):
                if not tail.startswith(tag + b" OK", start + 2):
                    raise RuntimeError(tail[start + 2 :].decode("utf-8", "replace").strip())
                return octets
        raise ConnectionError("the server closed the connection")

    def idle(self) -> None:
        """Begin IDLE and read the continuation."""
        self.send("IDLE")
        reply = b""
        while not re.search(rb"^\+.*\r\n", reply, re.MULTILINE):
            data = self.socket.recv(4096)
            if not data:
                raise ConnectionError("the server closed the connection")
            reply += data

    def messages(self, mailbox: str = "INBOX") -> int:
        """How many messages the mailbox has."""
        response = self.command(f"STATUS {mailbox} (MESSAGES)")
        found = re.search(rb"MESSAGES (\d+)", response)
        assert found, response
        return int(found[1])

    def capabilities(self) -> set[str]:
        return set(self.command("CAPABILITY").decode().upper().split())

    def close(self) -> None:
        self.socket.close()


def load(server: Server, account: Account, messages: Iterable[bytes], connections: int = 8) -> None:
    """Put messages into INBOX by APPEND, as quickly as the server takes them."""
    everything = list(messages)
    parts = [everything[n::connections] for n in range(connections)]
    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(lambda part: _append(server, account, part), parts))
    client = Client(server.address("imap"), account)
    assert client.messages() == len(everything), f"{server.name} lost messages in APPEND"
    client.close()


def _append(server: Server, account: Account, messages: list[bytes]) -> None:
    client = Client(server.address("imap"), account)
    batch = 200 if "MULTIAPPEND" in client.capabilities() else 1
    for start in range(0, len(messages), batch):
        parts = [b"APPEND INBOX"] + [b" {%d+}\r\n%s" % (len(m), m) for m in messages[start : start + batch]]
        tag = b"a%07d" % start
        client.socket.sendall(tag + b" " + b"".join(parts) + b"\r\n")
        client.finish(tag)
    client.close()


@functools.cache
def _insecure() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
