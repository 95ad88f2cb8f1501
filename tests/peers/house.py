"""A whole Mailwright in this process, in a small world of real name servers, for mail to and from its peers."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import imaplib
import smtplib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.demo import free_port
from support.peer import Authority, Peer

from mailwright.app.server import App
from mailwright.cli.records import ensure_keys
from mailwright.config import DNS, TLS, Address, Auth, Config, Listener, Listeners, Queue, Route, Server
from mailwright.directory.accounts import add_account, set_password
from mailwright.directory.domains import add_domain
from mailwright.directory.passwords import hash_password
from mailwright.queue import trace
from mailwright.store.db.api import Transaction

HOST = "mx.us.test"
ALICE, CHEN = "alice@us.test", "chen@us.test"
PASSWORD = "wonderland"
PEER = "127.0.0.2"  # where scripted peers listen
HASHED = hash_password(PASSWORD)
SERVICES = ("submission", "lmtp", "imap")


@dataclass(frozen=True)
class World:
    """What all tests share: a certificate authority, the name server, and the port that every mail server has."""

    authority: Authority
    dns: str
    port: int
    good: Path  # PEM of a key and a certificate for the peers, trusted
    ours: Path  # the same for us


def zones(port: int, good: Path) -> dict[str, str]:
    """The domains. All peers share a port, so that MX is enough to find them."""
    head = "$TTL 300\n@ SOA ns hostmaster 1 3600 900 86400 60\n@ NS ns\nns A 127.0.0.1\n"
    certificate = x509.load_pem_x509_certificate(good.read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    tlsa = f"_{port}._tcp.mx TLSA 3 1 1 "
    ours = f"@ MX 10 mx\nmx A {PEER}\n"
    texts = {
        "us": "@ MX 10 mx\nmx A 127.0.0.1\n",
        "peer": ours,
        "postfix": "@ MX 10 mx\nmx A 127.0.0.3\n",
        "exim": "@ MX 10 mx\nmx A 127.0.0.4\n",
        "opensmtpd": "@ MX 10 mx\nmx A 127.0.0.5\n",
        "dead": "@ MX 10 mx\nmx A 127.0.0.77\n",
        "null": "@ MX 0 .\n",
        "implicit": f"@ A {PEER}\n",
        "loop": "@ MX 10 mx.us.test.\n",
        "mirror": "@ MX 10 mx\nmx A 127.0.0.1\n",
        "sts": ours + '_mta-sts TXT "v=STSv1; id=20261123"\nmta-sts A 127.0.0.1\n',
        "dane": ours + tlsa + hashlib.sha256(key).hexdigest() + "\n",
        "danebad": ours + tlsa + "00" * 32 + "\n",
    }
    return {f"{name}.test": head + text for name, text in texts.items()}


class House:
    """A running server with the accounts alice and chen."""

    def __init__(self, app: App, world: World) -> None:
        self.app = app
        self.world = world
        self.config = app.config

    def port(self, service: str) -> int:
        listener: Listener = getattr(self.config.listeners, service)
        return listener.addresses[0].port

    async def submit(
        self,
        content: bytes,
        *to: str,
        sender: str = ALICE,
        options: tuple[str, ...] = (),
        rcpt: tuple[str, ...] = (),
    ) -> None:
        """Hand in a message as a mail program does, with STARTTLS and a password."""

        def send() -> None:
            with smtplib.SMTP("127.0.0.1", self.port("submission"), timeout=60) as client:
                client.login(ALICE, PASSWORD)
                refused = client.sendmail(sender, to, content, options, rcpt)
                assert not refused

        await asyncio.to_thread(send)

    async def inbox(self, address: str = ALICE) -> list[bytes]:
        """The messages in someone's INBOX, oldest first, over IMAP."""

        def read() -> list[bytes]:
            client = imaplib.IMAP4("127.0.0.1", self.port("imap"), timeout=60)
            client.login(address, PASSWORD)
            count = int(client.select("INBOX", readonly=True)[1][0] or b"0")
            rows = client.fetch("1:*", "(BODY.PEEK[])")[1] if count else []
            client.logout()
            return [row[1] for row in rows if isinstance(row, tuple)]

        return await asyncio.to_thread(read)

    async def report(self, address: str = ALICE) -> EmailMessage:
        """The report that comes into an empty INBOX."""
        (content,) = await until(lambda: self.inbox(address))
        message = BytesParser(policy=policy.default).parsebytes(content)
        assert isinstance(message, EmailMessage)
        assert message.get_content_type() == "multipart/report"
        return message

    async def record(self, what: str) -> dict[str, Any]:
        """What `mailwright trace --json` tells."""
        (number,) = await self.app.store.read(trace.find, what, 10)
        record = await self.app.store.read(trace.read, number)
        assert record is not None
        return trace.to_json(record)

    async def story(self, what: str) -> str:
        """What `mailwright trace` tells."""
        (number,) = await self.app.store.read(trace.find, what, 10)
        record = await self.app.store.read(trace.read, number)
        assert record is not None
        return trace.tell(record, lines=True)

    async def result(self, what: str, outcome: str = "") -> dict[str, Any]:
        """The first result of an attempt (with this outcome), as soon as there is one."""

        async def look() -> list[dict[str, Any]]:
            events = (await self.record(what))["events"]
            found = [result for event in events for result in event.get("results", ())]
            return [result for result in found if outcome in ("", result["outcome"])]

        found: list[dict[str, Any]] = await until(look)
        return found[0]


async def until(look: Callable[[], Any], seconds: float = 90.0) -> Any:
    """What `look` gives as soon as it is something."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, "it did not come"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def open_house(
    world: World, folder: Path, queue: Queue | None = None, **changes: Any
) -> AsyncIterator[House]:
    """The server runs while the block does. `changes` replace parts of its configuration."""
    app = App(dataclasses.replace(_config(world, folder), queue=queue or patient(world), **changes))
    ensure_keys(app.config.dkim_directory, "us.test")
    await app.start()
    try:
        await app.store.write(_add_people)
        yield House(app, world)
    finally:
        await app.stop()


def patient(world: World, **changes: Any) -> Queue:
    """Settings of a queue that tries again every second, and has time."""
    return dataclasses.replace(Queue(port=world.port, retries=(1.0,), jitter=0.0, tlsrpt=False), **changes)


def smarthost(world: World, port: int, **more: Any) -> Queue:
    """All mail goes one way."""
    return patient(world, routes=(Route("smart", hosts=("127.0.0.1",), port=port, **more),))


def _config(world: World, folder: Path) -> Config:
    nobody = Listener()
    ports = {name: Listener((Address("127.0.0.1", free_port()),)) for name in SERVICES}
    off = dict.fromkeys(("submissions", "imaps", "pop3", "pop3s"), nobody)
    smtp = Listener((Address("127.0.0.1", world.port),))
    return dataclasses.replace(
        Config(),
        server=Server(hostname=HOST, data=folder / "data"),
        listeners=Listeners(smtp=smtp, **ports, **off),
        tls=TLS(world.ours, world.ours),
        auth=Auth(allow_plaintext_without_tls=True),
        dns=DNS(servers=(_address(world.dns),), timeout=10.0),
    )


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return Address(host, int(port))


def _add_people(tx: Transaction) -> None:
    if tx.one("SELECT 1 FROM accounts"):
        return  # a second start
    hashed, scram = HASHED
    add_domain(tx, "us.test", now=1)
    for address in (ALICE, CHEN):
        add_account(tx, address, now=1)
        set_password(tx, address, hashed, scram, now=1)


def letter(number: int, to: str, text: str = "Hello\r\n.a line with a dot\r\n", **fields: str) -> bytes:
    """A small message with the Message-ID <`number`@us.test>."""
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return (
        f"From: Alice <{ALICE}>\r\nTo: {to}\r\nSubject: Letter {number}\r\n"
        f"Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{number}@us.test>\r\n{more}\r\n{text}"
    ).encode()


def is_intact(taken: bytes, sent: bytes) -> bool:
    """Whether a message arrived octet for octet behind the fields that were put in front."""
    return taken.endswith(sent) and taken[: -len(sent)].startswith((b"DKIM-", b"Received:", b"Return-Path:"))


def peer(world: World, host: str = PEER, **more: Any) -> Peer:
    """A scripted server at the address where the domains' MX leads."""
    return Peer(host=host, port=world.port, **more)
