"""A POP3 server without a network: a real store with an account, a small directory, sessions in memory."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from mailwright.base.clock import ManualClock
from mailwright.base.limits import Limits
from mailwright.net.api import Stream
from mailwright.net.listener import Connections, Listener, Refusals
from mailwright.pop3 import responses
from mailwright.pop3.lock import LocalLocks
from mailwright.pop3.service import Policy, Services
from mailwright.pop3.session import Pop3Session
from mailwright.sasl.api import Account, Denied, Ended
from mailwright.sasl.secret import ScramSecret
from mailwright.store import arrivals, messages, reading
from mailwright.store.db.api import Transaction
from mailwright.store.store import Store
from mailwright.tls.certificates import ServerContext
from support.accounts import prepared
from support.streams import MemoryStream

ADDRESS = "ann@example.org"
PASSWORD = "tanstaaf"
_SECRET = ScramSecret.from_password(PASSWORD, b"salt" * 4, 4096)


class Directory:
    """An authenticator that knows one account, under its address and as `ann`."""

    def __init__(self, account: int) -> None:
        self.account = account
        self.failures: list[str] = []
        self.denied: Denied | None = None
        self.broken = False  # it raises what nobody expects, when the maildrop is locked already

    async def verify_password(self, username: str, password: str, peer: str) -> Account | Denied:
        if self.denied is not None:
            return self.denied
        if username in (ADDRESS, "ann") and password == PASSWORD:
            return Account(self.account, ADDRESS)
        self.failures.append(username)
        return Denied(False, "the user name or the password is wrong")

    async def scram_secret(self, username: str, peer: str) -> ScramSecret | Denied | None:
        if self.denied is not None:
            return self.denied
        return _SECRET if username in (ADDRESS, "ann") else None

    async def scram_succeeded(self, username: str, peer: str) -> Account | Denied:
        return Account(self.account, ADDRESS)

    async def scram_failed(self, username: str, peer: str) -> None:
        self.failures.append(username)

    def watch(self, account: Account, ended: Callable[[Ended], None]) -> Callable[[], None]:
        if self.broken:
            raise RuntimeError("a defect")
        return lambda: None


class Pop3House:
    """A server's parts, and sessions over streams in memory."""

    def __init__(self, store: Store, account: int, mailbox: int) -> None:
        self.store = store
        self.account = account
        self.mailbox = mailbox
        self.clock = ManualClock()
        self.directory = Directory(account)
        self.services = Services(
            store=store,
            authenticator=self.directory,
            locks=LocalLocks(),
            limits=Limits(),
            hostname="mail.example.org",
            clock=self.clock,
            server_secret=b"secret",
            tls=lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
        )
        self.policy = Policy()

    async def put(self, *contents: bytes) -> None:
        """Deliver messages to INBOX."""
        for content in contents:
            message = await asyncio.to_thread(prepared, self.store.db, content)
            await self.store.write(arrivals.add, self.account, self.mailbox, message, now=1_700_000_000)

    async def fill(self, content: bytes, doublings: int) -> None:
        """Deliver a message, and double what is in INBOX so many times."""
        await self.put(content)
        for _ in range(doublings):
            await self.store.write(self._double)

    def _double(self, tx: Transaction) -> None:
        uids = reading.read_uids(tx, self.account, self.mailbox)
        messages.copy(tx, self.account, self.mailbox, uids, self.mailbox, now=1_700_000_000)

    async def expunge(self, *uids: int) -> None:
        """Remove messages, as an IMAP session does."""
        await self.store.write(messages.expunge, self.account, self.mailbox, uids)

    async def kept(self) -> list[int]:
        """The UIDs in INBOX."""
        return list(await self.store.read(reading.read_uids, self.account, self.mailbox))

    def limit(self, **limits: float) -> None:
        """Change limits for the sessions to come."""
        changed = replace(self.services.limits, **limits)  # type: ignore[arg-type]
        self.services = replace(self.services, limits=changed)

    @asynccontextmanager
    async def session(self, stream: MemoryStream) -> AsyncIterator[asyncio.Task[None]]:
        """A session that runs meanwhile, begun and ended as a listener does."""
        task = asyncio.get_running_loop().create_task(self._run(stream))
        try:
            yield task
        finally:
            if not task.done():
                task.cancel()
            await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    async def _run(self, stream: MemoryStream) -> None:
        try:
            await Pop3Session(stream, self.services, self.policy).run()
        except (ConnectionError, TimeoutError):
            pass
        except asyncio.CancelledError:
            stream.write(responses.SHUTTING_DOWN)
        finally:
            await stream.close()

    async def talk(self, stream: MemoryStream, *sent: bytes) -> list[bytes]:
        """Send lines at once and then nothing more; all lines that were said."""
        stream.feed(b"".join(line + b"\r\n" for line in sent))
        stream.feed_eof()
        async with self.session(stream) as task:
            await asyncio.wait([task], timeout=60)
            assert task.done()
        return stream.take().split(b"\r\n")[:-1]


LOGIN = (b"USER ann", b"PASS " + PASSWORD.encode())


@asynccontextmanager
async def listening(house: Pop3House, context: ServerContext, *, tls: bool) -> AsyncIterator[Listener]:
    """A listener on a free port of localhost."""
    services = replace(house.services, tls=lambda: context)

    def session(stream: Stream) -> Pop3Session:
        return Pop3Session(stream, services, house.policy)

    listener = Listener(
        "pop3s" if tls else "pop3",
        "127.0.0.1",
        0,
        session,
        Refusals(responses.TOO_MANY_CONNECTIONS, responses.SHUTTING_DOWN),
        Connections(services.limits),
        services.limits,
        tls=(lambda: context) if tls else None,
    )
    await listener.start()
    try:
        yield listener
    finally:
        listener.stop_accepting()
        await listener.wait_closed(10)
