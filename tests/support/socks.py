"""A SOCKS proxy that leads the names and ports a program would use to those of a test's server, and nowhere else."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Mapping
from typing import Final

Address = tuple[str, int]
DOMAIN_NAME: Final = 3
SUCCEEDED: Final = b"\x05\x00\x00\x01" + bytes(6)
REFUSED: Final = b"\x05\x05\x00\x01" + bytes(6)


class Detour(socketserver.ThreadingTCPServer):
    """SOCKS 5 (RFC 1928) on a free port of loopback, from `with` on. `asked` holds each host and port asked for."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, ways: Mapping[Address, Address]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ways = ways
        self.asked: list[Address] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def __enter__(self) -> Detour:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(socketserver.BaseRequestHandler):
    request: socket.socket
    server: Detour

    def handle(self) -> None:
        with contextlib.suppress(OSError, EOFError):  # the program hung up
            self._lead()

    def _lead(self) -> None:
        _, methods = self._take(2)
        self._take(methods)
        self.request.sendall(b"\x05\x00")  # no password is needed
        *_, kind = self._take(4)
        host = (
            self._take(self._take(1)[0]).decode() if kind == DOMAIN_NAME else socket.inet_ntoa(self._take(4))
        )
        asked = (host, int.from_bytes(self._take(2), "big"))
        self.server.asked.append(asked)
        if asked not in self.server.ways:
            self.request.sendall(REFUSED)
            return
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with socket.create_connection(self.server.ways[asked]) as far:
            far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.request.sendall(SUCCEEDED)
            back = threading.Thread(target=_copy, args=(far, self.request), daemon=True)
            back.start()
            _copy(self.request, far)
            back.join()

    def _take(self, octets: int) -> bytes:
        data = b""
        while len(data) < octets:
            if not (more := self.request.recv(octets - len(data))):
                raise EOFError
            data += more
        return data


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):  # one side hung up, and so does the other
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
