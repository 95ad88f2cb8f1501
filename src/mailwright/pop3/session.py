"""One POP3 connection: who the client is, its maildrop, and what it is told."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from typing import Final

from mailwright.net.api import Stream
from mailwright.pop3 import responses
from mailwright.pop3.commands.row import State
from mailwright.pop3.commands.table import TABLE
from mailwright.pop3.connection import AuthResponse, Closed, Connection, Event
from mailwright.pop3.lock import MaildropLock
from mailwright.pop3.maildrop import Maildrop, open_maildrop
from mailwright.pop3.service import Policy, Services
from mailwright.pop3.syntax import Auth, Command
from mailwright.sasl.api import Account, Ended
from mailwright.sasl.server import offered_mechanisms
from mailwright.store.errors import NotFound, StoreError

log = logging.getLogger(__name__)

_REPLIES: Final = 64 * 1024  # octets of replies that are kept together before they are sent


class _Over(Exception):
    """The session ends here."""


class _HungUp(_Over):
    """The client ended its input where a response was due."""


class _Silence(_Over):
    """Nothing came for too long."""


class _ShutDown(_Over):
    """The server ends, and the client waits for nothing."""


class _LoginEnded(_Over):
    """The client's login holds no longer."""


class Pop3Session:
    """Drives one connection until it ends. The listener closes the stream."""

    __slots__ = (
        "_account",
        "_bad",
        "_connection",
        "_deadline",
        "_ended",
        "_lock",
        "_maildrop",
        "_pending",
        "_replies",
        "_said",
        "_shutting_down",
        "_unwatch_login",
        "closing",
        "policy",
        "removed",
        "services",
        "state",
        "stream",
        "username",
        "utf8",
    )

    def __init__(self, stream: Stream, services: Services, policy: Policy) -> None:
        self.stream = stream
        self.services = services
        self.policy = policy
        self.state = State.AUTHORIZATION
        self.username: str | None = None  # from USER
        self.utf8 = False  # the client takes UTF-8 in headers (RFC 6856)
        self.closing = False
        self.removed = 0  # messages, by QUIT
        self._account: Account | None = None
        self._lock: MaildropLock | None = None
        self._maildrop: Maildrop | None = None
        self._connection = Connection(services.limits.pop3_line)
        self._replies: list[bytes] = []
        self._pending = 0  # octets in them
        self._bad = 0
        self._shutting_down = False
        self._ended: Ended | None = None
        self._unwatch_login: Callable[[], None] | None = None
        self._deadline = 0.0
        self._said = 0  # octets

    async def run(self) -> None:
        """Serve the client until either side ends the connection.

        Only QUIT removes messages; a connection that breaks off removes none. Raises ConnectionError, and TimeoutError
        when the client takes no data.
        """
        self._renew()
        try:
            self.write(responses.greeting(self.services.hostname))
            await self._serve()
            await self.flush()
        except _HungUp:
            pass
        except _Silence:
            # RFC 1939 3: no response, which the client could take for the one to its next command.
            log.info("%s: closed for silence", self.stream.peer)
        except _ShutDown:
            self.write(responses.SHUTTING_DOWN)
            await self.flush()
        except _LoginEnded:
            assert self._ended is not None
            self.write(responses.err(self._ended.text, responses.AUTH))
            await self.flush()
        finally:
            await self.release()
            if self._account is not None:
                log.info("%s: %s left, %d removed", self.stream.peer, self._account.address, self.removed)

    def shut_down(self) -> None:
        """End when the commands that came are answered. Messages marked as deleted stay."""
        self._shutting_down = True
        self.stream.wake()

    def _login_ended(self, why: Ended) -> None:
        self._ended = why
        self.stream.wake()

    async def _serve(self) -> None:
        while not self.closing:
            if self._ended is not None:
                raise _LoginEnded
            event = await self._next_event()
            if isinstance(event, Closed):
                return
            if isinstance(event, Command | Auth):
                self.write(await self._run(event))
            elif not isinstance(event, AuthResponse):
                self._bad += 1
                self.write(responses.err(event.text))
            if self._pending > _REPLIES:
                await self.flush()
            if self.state == State.TRANSACTION:
                self._renew()
            if self._bad >= self.services.limits.bad_commands and not self.closing:
                self.write(responses.TOO_MANY_ERRORS)
                return

    async def _run(self, command: Command | Auth) -> bytes:
        row = TABLE[command.name]
        if not row.states & self.state:
            self._bad += 1
            fresh = self.state == State.AUTHORIZATION
            return responses.LOG_IN_FIRST if fresh else responses.LOGGED_IN_ALREADY
        said, state = self._said, self.state
        try:
            return await row.run(self, command)
        except (ConnectionError, TimeoutError, _Over):
            raise
        except Exception:
            if self._said > said:  # more would be taken for the rest of what is being sent
                raise
            log.exception("%s of %s failed", command.name, self.stream.peer)
            self.closing = state == State.AUTHORIZATION  # half a login is undone at the end
            return responses.OWN_ERROR

    # Reading and writing

    def write(self, data: bytes) -> None:
        """Send with the next `flush`."""
        self._replies.append(data)
        self._pending += len(data)
        self._said += len(data)

    async def flush(self) -> None:
        """Send what is written, at the pace of the client."""
        if self._replies:
            data = self._replies[0] if len(self._replies) == 1 else b"".join(self._replies)
            self._replies.clear()
            self._pending = 0
            self.stream.write(data)
            await self.stream.drain()

    async def ask(self, challenge: bytes) -> bytes | None:
        """The response to a challenge, both in base64; None when it was too long."""
        self.write(responses.challenge(challenge))
        self._connection.expect_auth_response()
        event = await self._next_event()
        if not isinstance(event, AuthResponse):
            raise _HungUp
        return event.line

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Say so, shake hands, and forget what was said before (RFC 2595 4)."""
        self.write(responses.BEGIN_TLS)
        await self.flush()
        await self.stream.start_tls(context)
        self._connection.reset()
        self.username = None
        self.utf8 = False

    async def _next_event(self) -> Event:
        while (event := self._connection.next_event()) is None:
            await self.flush()
            data = await self._read()
            if data is not None:
                self._connection.receive_data(data)
        return event

    async def _read(self) -> bytes | None:
        if self._shutting_down:
            raise _ShutDown
        if self._ended is not None:
            raise _LoginEnded
        # The time is that of a whole command, so that single octets do not keep a connection open; before login it
        # is that of all commands.
        left = self._deadline - self.services.clock.monotonic()
        if left <= 0:
            raise _Silence
        try:
            return await self.stream.read(left)
        except TimeoutError:
            raise _Silence from None

    def _renew(self) -> None:
        self._deadline = self.services.clock.monotonic() + self.services.limits.pop3_idle_timeout

    # Who

    @property
    def may_log_in(self) -> bool:
        """Whether passwords may go over this connection."""
        return self.stream.tls is not None or self.policy.allow_plaintext_auth

    @property
    def channel_binding(self) -> bytes | None:
        """tls-server-end-point (RFC 5929 4)."""
        return self.stream.tls.server_end_point if self.stream.tls is not None else None

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The mechanisms of SASL that can be used now."""
        return offered_mechanisms(self.policy.mechanisms, self.channel_binding is not None)

    def refuse_login(self, reply: bytes) -> bytes:
        """Count a failed login among the errors."""
        self._bad += 1
        return reply

    async def open(self, account: Account) -> bytes:
        """Lock the maildrop of who proved to be that account, and begin the TRANSACTION state."""
        services = self.services
        try:
            self._lock = await services.locks.acquire(account.id)
        except StoreError as error:
            log.warning("%s: the maildrop of %s: %s", self.stream.peer, account.address, error)
            return responses.STORE_UNAVAILABLE
        if self._lock is None:
            return responses.MAILDROP_IN_USE
        try:
            maildrop = await services.store.read(open_maildrop, account.id)
        except StoreError as error:
            log.warning("%s: the INBOX of %s: %s", self.stream.peer, account.address, error)
            await self.release()
            return responses.NO_INBOX if isinstance(error, NotFound) else responses.STORE_UNAVAILABLE
        self._account, self._maildrop, self.state = account, maildrop, State.TRANSACTION
        self._unwatch_login = services.authenticator.watch(account, self._login_ended)
        log.info("%s: %s logged in", self.stream.peer, account.address)
        return responses.logged_in(maildrop.count, maildrop.octets)

    async def release(self) -> None:
        """Unlock the maildrop, and watch the login no more."""
        if self._unwatch_login is not None:
            self._unwatch_login()
            self._unwatch_login = None
        lock, self._lock = self._lock, None
        if lock is not None:
            await lock.release()

    # For the commands of the TRANSACTION state

    @property
    def maildrop(self) -> Maildrop:
        assert self._maildrop is not None
        return self._maildrop

    def refusal(self, number: int) -> bytes:
        """Why there is no message of this number; b'' when there is one."""
        maildrop = self.maildrop
        if number > maildrop.total:
            return responses.no_such_message(number, maildrop.total)
        return responses.is_deleted(number) if maildrop.is_deleted(number) else b""
