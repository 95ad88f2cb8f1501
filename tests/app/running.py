"""Whole servers in this process, and clients that speak to them over TCP by the line."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from support.demo import free_port

from mailwright.app.server import App
from mailwright.config import DKIM, Address, Auth, Config, Listener, Listeners, Queue, Server, Store
from mailwright.directory.accounts import add_account, set_password
from mailwright.directory.domains import add_domain
from mailwright.directory.passwords import hash_password
from mailwright.store.db.api import Transaction

ALICE, PASSWORD = "alice@example.org", "wonderland"
HASHED = hash_password(PASSWORD)
_PATIENCE = 60.0  # seconds


class Talk:
    """A client that says and hears lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def say(self, line: str) -> None:
        self._writer.write(line.encode() + b"\r\n")

    async def line(self) -> str:
        """The next line; '' when the server has hung up."""
        return (await asyncio.wait_for(self._reader.readline(), _PATIENCE)).decode().rstrip("\r\n")

    async def until(self, start: str) -> str:
        """The next line that begins so."""
        while not (line := await self.line()).startswith(start):
            assert line, f"the server hung up before {start!r}"
        return line

    def leave(self) -> None:
        self._writer.close()


class Running:
    """A server with the services that are listed, and clients logged in as alice."""

    def __init__(self, app: App, ports: dict[str, int]) -> None:
        self.app = app
        self._ports = ports
        self._talks: list[Talk] = []

    async def connect(self, service: str) -> Talk:
        talk = Talk(*await asyncio.open_connection("127.0.0.1", self._ports[service]))
        self._talks.append(talk)
        assert await talk.line()
        return talk

    async def imap(self, password: str = PASSWORD) -> Talk:
        """Logged in."""
        talk = await self.connect("imap")
        talk.say(f"a LOGIN {ALICE} {password}")
        await talk.until("a OK")
        return talk

    async def pop3(self) -> Talk:
        """Logged in."""
        talk = await self.connect("pop3")
        talk.say(f"USER {ALICE}\r\nPASS {PASSWORD}")
        await talk.until("+OK")
        await talk.until("+OK")
        return talk

    async def submission(self) -> Talk:
        """Logged in."""
        talk = await self.connect("submission")
        secret = base64.b64encode(f"\0{ALICE}\0{PASSWORD}".encode()).decode()
        talk.say(f"EHLO here\r\nAUTH PLAIN {secret}")
        await talk.until("235")
        return talk

    def leave(self) -> None:
        for talk in self._talks:
            talk.leave()


@asynccontextmanager
async def running(folder: Path, database: str = "", blobs: str = "database") -> AsyncIterator[Running]:
    """A server that runs while the block does; alice is there if nobody was before."""
    ports = {name: free_port() for name in ("imap", "pop3", "submission")}
    listeners = {name: Listener((Address("127.0.0.1", port),)) for name, port in ports.items()}
    off = dict.fromkeys(("smtp", "submissions", "lmtp", "imaps", "pop3s"), Listener())
    config = dataclasses.replace(
        Config(),
        server=Server(hostname="mail.example.org", data=folder),
        store=Store(database=database, blobs=blobs),
        listeners=Listeners(**listeners, **off),
        auth=Auth(allow_plaintext_without_tls=True),
        dkim=DKIM(enabled=False),
        queue=Queue(deliver=False),
    )
    app = App(config)
    await app.start()
    server = Running(app, ports)
    try:
        await app.store.write(_add_alice)
        yield server
    finally:
        server.leave()
        await app.stop()


def _add_alice(tx: Transaction) -> None:
    if tx.one("SELECT 1 FROM accounts"):
        return
    add_domain(tx, "example.org", now=1)
    add_account(tx, ALICE, now=1)
    set_password(tx, ALICE, *HASHED, now=1)
