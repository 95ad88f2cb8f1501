"""Sends mail: as fast as the server takes it (Postfix's smtp-source), or steadily with each reply timed."""

from __future__ import annotations

import base64
import multiprocessing
import selectors
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from support.demo import Account

from .corpus import Corpus
from .imap import Client
from .servers import Server

SIZE = 4096


class Missing(RuntimeError):
    """A program that the measurement needs is not there; the message names its package."""


def send(server: Server, accounts: list[Account], count: int, sessions: int, keep: bool) -> float:
    """Send `count` messages of 4 KB over `sessions` connections at a time; the seconds until all are visible.

    Each account has its own sender program and message. `keep` sends all over the same connections; otherwise
    each message has a new one. Raises RuntimeError when a message does not arrive within two minutes.
    """
    if not shutil.which("smtp-source"):
        raise Missing("smtp-source is missing: install Debian's package postfix")
    clients = [Client(server.address("imap"), account) for account in accounts]
    share = count // len(accounts)
    expected = [client.messages() + share for client in clients]
    host, port = server.address("smtp")
    corpus = Corpus()
    with tempfile.TemporaryDirectory() as folder:
        commands = []
        for number, account in enumerate(accounts):
            file = Path(folder) / f"{number}.eml"
            file.write_bytes(corpus.sized(SIZE).replace(b"\r\n", b"\n"))
            options = [
                "-s",
                str(sessions // len(accounts)),
                "-m",
                str(share),
                "-F",
                str(file),
                *(["-d"] if keep else []),
            ]
            commands.append(
                [
                    "smtp-source",
                    *options,
                    "-f",
                    "bench@sender.example",
                    "-t",
                    account.address,
                    f"{host}:{port}",
                ]
            )
        start = time.perf_counter()
        senders = [subprocess.Popen(command, stderr=subprocess.PIPE) for command in commands]
        for sender in senders:
            _, errors = sender.communicate()
            if sender.returncode:
                raise RuntimeError(f"smtp-source failed: {errors.decode().strip()}")
    _wait_for(server, clients, expected, start)
    seconds = time.perf_counter() - start
    for client in clients:
        client.close()
    return seconds


def _wait_for(server: Server, clients: list[Client], expected: list[int], start: float) -> None:
    while (found := [client.messages() for client in clients]) != expected:
        if time.perf_counter() - start > 120 or any(f > e for f, e in zip(found, expected, strict=True)):
            raise RuntimeError(f"{server.name}: sent so that {expected} should be there, found {found}")
        time.sleep(0.02)


def latencies(
    server: Server, account: Account, rate: float, seconds: float, connections: int = 20
) -> list[float]:
    """Send at `rate` messages a second over kept connections; for each the seconds until its 250.

    The time runs from the moment when the message was due, so a server that stalls cannot hide what waited.
    """
    envelope = Envelope("bench@sender.example", account.address)
    return send_paced(server.address("smtp"), envelope, rate, int(rate * seconds), connections).times


@dataclass(frozen=True)
class Envelope:
    """From whom to whom, and who logs in."""

    sender: str
    to: str
    login: Account | None = None


class Sent(NamedTuple):
    """`began`: `time.perf_counter` before the first connection. `times`: for each message, until its 250."""

    began: float
    times: list[float]


def send_paced(
    address: tuple[str, int], envelope: Envelope, rate: float, count: int, connections: int
) -> Sent:
    """Send `count` messages of 4 KB from a process of its own; see `latencies`. An infinite rate is all at once."""
    receiver, writer = multiprocessing.Pipe(duplex=False)
    arguments = (address, envelope, rate, count, connections, writer)
    process = multiprocessing.get_context("spawn").Process(target=_send_paced, args=arguments)
    process.start()
    writer.close()
    try:
        sent: Sent = receiver.recv()
    except EOFError:
        raise RuntimeError("the paced sender failed") from None
    finally:
        process.join()
    return sent


class _Sender:
    """One kept connection that sends one message at a time."""

    def __init__(self, address: tuple[str, int], envelope: Envelope, message: bytes) -> None:
        self.socket = socket.create_connection(address, 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._steps = (
            (b"MAIL FROM:<%s>\r\n" % envelope.sender.encode(), b"250"),
            (b"RCPT TO:<%s>\r\n" % envelope.to.encode(), b"250"),
            (b"DATA\r\n", b"354"),
            (message + b".\r\n", b"250"),
        )
        self._expect(b"220")
        self.socket.sendall(b"EHLO bench.example\r\n")
        self._expect(b"250 ")
        if login := envelope.login:
            word = base64.b64encode(f"\0{login.address}\0{login.password}".encode())
            self.socket.sendall(b"AUTH PLAIN %s\r\n" % word)
            self._expect(b"235")
        self.step = 0
        self.due = 0.0

    def begin(self, due: float) -> None:
        self.due, self.step = due, 0
        self.socket.sendall(self._steps[0][0])

    def advance(self) -> bool:
        """Take a reply; true when it was the one to the message."""
        self._expect(self._steps[self.step][1])
        self.step += 1
        if self.step == len(self._steps):
            return True
        self.socket.sendall(self._steps[self.step][0])
        return False

    def _expect(self, code: bytes) -> None:
        reply = b""
        while not reply.endswith(b"\r\n") or reply.splitlines()[-1][3:4] == b"-":
            data = self.socket.recv(8192)
            if not data:
                raise ConnectionError(f"closed after {reply!r}")
            reply += data
        if not reply.splitlines()[-1].startswith(code):
            raise RuntimeError(f"expected {code!r}, got {reply!r}")


def _send_paced(
    address: tuple[str, int],
    envelope: Envelope,
    rate: float,
    total: int,
    connections: int,
    result: Connection,
) -> None:
    message = Corpus().sized(SIZE)
    began = time.perf_counter()
    idle = [_Sender(address, envelope, message) for _ in range(connections)]
    selector = selectors.DefaultSelector()
    for sender in idle:
        selector.register(sender.socket, selectors.EVENT_READ, sender)
    start, begun = time.perf_counter(), 0
    times: list[float] = []
    while len(times) < total:
        now = time.perf_counter() - start
        while idle and begun < total and begun / rate <= now:
            idle.pop().begin(start + begun / rate)
            begun += 1
        pause = max(0.0, begun / rate - now) if idle and begun < total else 10.0
        for key, _ in selector.select(pause):
            if key.data.advance():
                times.append(time.perf_counter() - key.data.due)
                idle.append(key.data)
    result.send(Sent(began, times))
