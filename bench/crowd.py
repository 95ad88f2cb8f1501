"""Many IMAP clients at once from one process, each of which sends its next command when the last was answered."""

from __future__ import annotations

import random
import selectors
import time
from typing import NamedTuple

from support.demo import Account

from .corpus import Corpus
from .imap import Client
from .servers import Server

_TAG = b"x9Zq"
_TAIL = 4096


class Crowd(NamedTuple):
    """What came of it: commands a second, and how many seconds each took."""

    rate: float
    times: list[float]


class Visitor:
    """One client in a mailbox of `size` messages."""

    __slots__ = ("_append", "_buffer", "_mailbox", "_random", "_size", "_tail", "sent_at", "socket")

    def __init__(self, client: Client, mailbox: str, size: int, seed: int, buffer: bytearray) -> None:
        self.socket = client.socket
        self.socket.setblocking(False)
        self.sent_at = 0.0
        self._random = random.Random(seed)
        self._mailbox = mailbox
        self._size = size
        self._buffer = buffer
        self._tail = b""
        message = Corpus(seed).sized(4096)
        self._append = f"APPEND Sent {{{len(message)}+}}\r\n".encode() + message

    def send(self) -> None:
        command = self._next_command()
        self._tail = b""
        self.sent_at = time.perf_counter()
        self.socket.sendall(_TAG + b" " + command + b"\r\n")

    def _next_command(self) -> bytes:
        """What a mail client asks: mostly for news, pages of the list, and messages to be shown."""
        dice, number = self._random.random(), self._random.randint(1, self._size - 50)
        if dice < 0.2:
            return b"NOOP"
        if dice < 0.3:
            return f"STATUS {self._mailbox} (MESSAGES UNSEEN UIDNEXT)".encode()
        if dice < 0.45:
            return b"FETCH %d:%d (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)" % (number, number + 49)
        if dice < 0.75:
            return b"FETCH %d (UID BODY.PEEK[])" % number
        if dice < 0.88:
            return b"STORE %d %cFLAGS.SILENT (\\Seen)" % (number, self._random.choice(b"+-"))
        if dice < 0.93:
            return b"SEARCH UNSEEN"
        if dice < 0.97:
            return b"SELECT " + self._mailbox.encode()
        return self._append

    def finished(self) -> bool:
        """Read what came; whether it was the end of the response. Raises RuntimeError when that is not OK."""
        count = self.socket.recv_into(self._buffer)
        if not count:
            raise RuntimeError("the server closed a connection")
        data = bytes(memoryview(self._buffer)[max(0, count - _TAIL) : count])
        tail = self._tail = (self._tail + data)[-_TAIL:]
        if not tail.endswith(b"\r\n"):
            return False
        line = tail[tail.rfind(b"\n", 0, -2) + 1 :]
        if line.startswith(_TAG) and not line.startswith(_TAG + b" OK"):
            raise RuntimeError(line.decode("utf-8", "replace").strip())
        return line.startswith(_TAG)


def visit(server: Server, accounts: list[Account], boxes: list[str], size: int, count: int) -> list[Visitor]:
    """`count` visitors spread over the accounts and their mailboxes, logged in, each with its mailbox selected."""
    buffer = bytearray(1 << 20)
    visitors = []
    for number in range(count):
        client = Client(server.address("imap"), accounts[number % len(accounts)], buffer=16_384)
        mailbox = boxes[number // len(accounts) % len(boxes)]
        client.command(f"SELECT {mailbox}")
        visitors.append(Visitor(client, mailbox, size, number, buffer))
    return visitors


def mingle(visitors: list[Visitor], seconds: float) -> Crowd:
    """Let all visitors be busy for a time. Raises RuntimeError when a command fails."""
    selector = selectors.DefaultSelector()
    for visitor in visitors:
        selector.register(visitor.socket, selectors.EVENT_READ, visitor)
    start = time.perf_counter()
    times: list[float] = []
    for visitor in visitors:
        visitor.send()
    waiting = len(visitors)
    while waiting:
        for key, _ in selector.select(60):
            visitor = key.data
            if not visitor.finished():
                continue
            now = time.perf_counter()
            times.append(now - visitor.sent_at)
            if now - start < seconds:
                visitor.send()
            else:
                waiting -= 1
    return Crowd(len(times) / (time.perf_counter() - start), times)
