"""Many large messages on their way at the same time."""

from __future__ import annotations

import os
import selectors
import socket
from typing import cast


def send_at_once(address: tuple[str, int], to: str, connections: int, size: int) -> None:
    """Send a message of `size` octets over each connection, all at once. Each must get 250."""
    block = _incompressible(64 * 1024)
    selector = selectors.DefaultSelector()
    for number in range(connections):
        client = _greeted(address, to)
        client.setblocking(False)
        selector.register(client, selectors.EVENT_WRITE, [number, 0])
    waiting = connections
    while waiting:
        for key, events in selector.select(300):
            client, state = cast(socket.socket, key.fileobj), key.data
            if events & selectors.EVENT_WRITE:
                state[1] += _push(client, block, state[0], state[1], size)
                if state[1] >= size + 5:
                    selector.modify(client, selectors.EVENT_READ, state)
            else:
                reply = client.recv(1000)
                assert reply.startswith(b"250"), reply
                selector.unregister(client)
                client.close()
                waiting -= 1


def _push(client: socket.socket, block: bytes, number: int, sent: int, size: int) -> int:
    """Send what fits of a message that is a header, repeated blocks, and the end of data."""
    if sent < 1024:
        data = (b"Subject: upload %d\r\n\r\n" % number).ljust(1022, b".")[sent:] + b"\r\n"
        data = data[: 1024 - sent]
    elif sent < size:
        start = (sent - 1024) % len(block)
        data = block[start : start + size - sent]
    else:
        data = b"\r\n.\r\n"[sent - size :]
    try:
        return client.send(data)
    except BlockingIOError:
        return 0


def _incompressible(size: int) -> bytes:
    return b"".join(os.urandom(39).hex().encode() + b"\r\n" for _ in range(size // 80 + 1))


def _greeted(address: tuple[str, int], to: str) -> socket.socket:
    client = socket.create_connection(address, 60)
    lines = (
        b"",
        b"EHLO bench.example\r\n",
        b"MAIL FROM:<bench@sender.example>\r\n",
        b"RCPT TO:<%s>\r\n" % to.encode(),
        b"DATA\r\n",
    )
    for line in lines:
        client.sendall(line)
        reply = client.recv(8192)
        while reply.splitlines()[-1][3:4] == b"-" or not reply.endswith(b"\n"):
            reply += client.recv(8192)
        assert reply[:1] in b"23", reply
    return client
