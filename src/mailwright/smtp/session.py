"""One SMTP or LMTP connection: who speaks, what they may, and what they are told."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from mailwright.base.clock import Clock, SystemClock
from mailwright.net.api import Stream
from mailwright.sasl.api import Account, Authenticator, Ended
from mailwright.smtp import replies
from mailwright.smtp.api import Answer, Mailroom, Policy, Role, SessionInfo
from mailwright.smtp.commands import content
from mailwright.smtp.commands.row import (
    ADMITTED,
    AUTHENTICATED,
    CHUNKS,
    CONFIDENTIAL,
    ENCRYPTED_ENOUGH,
    LOGIN_OFFERED,
    MAIL,
    TLS,
    TLS_OFFERED,
)
from mailwright.smtp.commands.table import TABLE
from mailwright.smtp.connection import Closed, Connection, Event
from mailwright.smtp.replies import Reply
from mailwright.smtp.syntax.commands import Bdat, SyntaxFault
from mailwright.smtp.syntax.path import Path
from mailwright.smtp.transaction import Transaction, failure_reply

log = logging.getLogger("mailwright.smtp")

RATE_GRACE: Final = 60.0  # seconds before the minimum data rate counts
WRITTEN: Final = 16 * 1024  # octets of replies that wait for a pause, before they are sent anyway
FREE_CHUNK: Final = 512  # octets; a BDAT of fewer counts as a command, so that none come for ever
OVERRUN: Final = 4  # times the message size limit, then we stop listening to a message that is refused

_ids = itertools.count(1)


class Goodbye(Exception):
    """The connection ends with this reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.lines[0])
        self.reply = reply


class Session:
    """Drive one connection with `run`; `shut_down` ends it with 421 at the next command."""

    def __init__(
        self,
        stream: Stream,
        policy: Policy,
        mailroom: Mailroom,
        authenticator: Authenticator,
        clock: Clock | None = None,
    ) -> None:
        self.stream = stream
        self.policy = policy
        self.mailroom = mailroom
        self.authenticator = authenticator
        limits = policy.limits
        self.connection = Connection(
            accept_bare_lf=policy.accept_bare_lf,
            command_line=limits.smtp_command_line,
            auth_line=limits.smtp_auth_line,
        )
        self.info = SessionInfo(f"{next(_ids):06x}", policy.role, stream.peer, "", False, stream.tls, None)
        self.transaction: Transaction | None = None
        self.state = self._first_state()
        self.closing = False
        self.errors = 0
        self.failed_logins = 0
        self._clock = clock or SystemClock()
        self._commands = 0
        self._messages = 0
        self._farewell: Reply | None = None  # what is said at the next command
        self._unwatch_login: Callable[[], None] | None = None
        self._written: list[bytes] = []
        self._waiting = 0
        self._content_began = 0.0
        self._content_size = 0

    @property
    def channel_binding(self) -> bytes | None:
        """The tls-server-end-point data, where there is TLS."""
        tls = self.stream.tls
        return tls.server_end_point if tls is not None else None

    def shut_down(self) -> None:
        """End soon: a message on its way is still taken, then 421 is said (RFC 5321 3.8)."""
        self._farewell = replies.SHUTTING_DOWN
        self.stream.wake()

    async def run(self) -> None:
        """Talk until the end; closes the stream. Raises nothing."""
        try:
            protocol = "LMTP" if self.policy.role is Role.LMTP else "ESMTP"
            self.write(replies.greeting(self.policy.hostname, protocol))
            await self._serve()
        except Goodbye as goodbye:
            self.write(goodbye.reply)
        except TimeoutError:
            self.write(replies.IDLE)
        except asyncio.CancelledError:
            self.write(replies.SHUTTING_DOWN)  # and the task ends
        except ConnectionError as error:
            log.debug("%s: connection lost: %s", self.info.id, error)
            self._written.clear()
        except Exception:
            log.exception("%s: the session failed", self.info.id)
            self.write(replies.LOCAL_ERROR_CLOSING)
        finally:
            self._note_broken_off()
            self.end_transaction()
            self._forget_login()
            self.send_written()
        await self.stream.close()

    # Octets

    async def next_event(self) -> Event:
        """The next event, waited for; what was written is sent before."""
        until = 0.0
        while (event := self.connection.next_event()) is None:
            now = self._clock.monotonic()
            until = until or now + self.policy.limits.smtp_command_timeout
            if now >= until:
                raise TimeoutError
            if self._farewell is not None:
                raise Goodbye(self._farewell)
            await self._flush()
            data = await self.stream.read(until - now)
            if data is not None:
                self.connection.receive_data(data)
        return event

    def begin_content(self) -> None:
        """What comes next is a message, or a chunk of one."""
        self._content_began = self._clock.monotonic()
        self._content_size = 0

    async def more_content(self) -> None:
        """Wait for more of the message. Raises Goodbye when it comes too slowly, or never ends."""
        limits = self.policy.limits
        await self._flush()
        data = await self.stream.read(limits.smtp_data_timeout)
        if data is None:
            return  # asked to stop: after this message
        self._content_size += len(data)
        elapsed = self._clock.monotonic() - self._content_began
        if elapsed > RATE_GRACE and self._content_size < elapsed * limits.smtp_min_data_rate:
            raise Goodbye(replies.TOO_SLOW)
        if self._content_size > OVERRUN * limits.message_size:
            raise Goodbye(replies.ENDLESS)
        self.connection.receive_data(data)

    def write(self, reply: Reply) -> None:
        """Say it, once the session waits or much is written."""
        data = reply.to_bytes()
        self._written.append(data)
        self._waiting += len(data)

    def send_written(self) -> None:
        """Hand what is written to the stream, without waiting."""
        if self._written:
            self.stream.write(b"".join(self._written))
            self._written.clear()
            self._waiting = 0

    async def _flush(self) -> None:
        if self._written:
            self.send_written()
            await self.stream.drain()

    # Commands

    async def _serve(self) -> None:
        while not self.closing:
            answer = self._answer(await self.next_event())
            if answer is not None and not isinstance(answer, Reply):
                answer = await answer
            if answer is not None:
                if answer.code >= 500:
                    await self._count_error()
                elif answer.code == 421:
                    self.closing = True  # RFC 5321 3.8: a policy of the house may end it
                self.write(answer)
            if self._waiting > WRITTEN:
                await self._flush()

    def _answer(self, event: Event) -> Answer:
        """What to say, or to wait for; None when nothing is left to say."""
        row = TABLE.get(type(event))
        if row is None:
            return self._other(event)
        if not (isinstance(event, Bdat) and event.size >= FREE_CHUNK):
            self._commands += 1
        if self._commands > self.policy.limits.smtp_commands:
            raise Goodbye(replies.TOO_MANY_COMMANDS)
        if self._farewell is not None and not self.state & CHUNKS:
            raise Goodbye(self._farewell)
        if self.state & row.mask == row.want:
            return row.run(self, event)
        refusal = row.fault(self.state)
        if refusal is replies.SAY_HELLO and self.info.role is Role.LMTP:
            refusal = replies.SAY_LHLO
        return content.refuse_chunk(self, refusal) if isinstance(event, Bdat) else refusal

    def _other(self, event: Event) -> Reply | None:
        if isinstance(event, SyntaxFault):
            if event.fatal:
                raise Goodbye(event.reply)
            return event.reply
        if isinstance(event, Closed):
            self.closing = True
            return None
        raise TypeError(f"{event!r} came out of order")

    async def _count_error(self) -> None:
        self.errors += 1
        limit = self.policy.limits.smtp_errors
        if self.errors >= limit:
            raise Goodbye(replies.TOO_MANY_ERRORS)
        if self.errors > limit // 2 and self.policy.error_delay:
            await self._flush()
            await asyncio.sleep(self.policy.error_delay)

    # What the commands do to the session

    def ask(self, question: Callable[[], Answer], then: Callable[[Reply | None], Reply]) -> Answer:
        """What `then` makes of the mailroom's answer; what the mailroom raises becomes 451 or 452."""
        try:
            answer = question()
        except Exception as error:
            answer = failure_reply(error)
        if answer is None or isinstance(answer, Reply):
            return then(answer)
        return self._wait(answer, then)

    async def _wait(self, answer: Awaitable[Reply | None], then: Callable[[Reply | None], Reply]) -> Reply:
        try:
            refusal = await answer
        except Exception as error:
            refusal = failure_reply(error)
        return then(refusal)

    def begin_transaction(self, transaction: Transaction) -> None:
        """MAIL was accepted. Raises Goodbye after too many messages."""
        self._messages += 1
        if self._messages > self.policy.limits.smtp_transactions:
            raise Goodbye(replies.TOO_MANY_MESSAGES)
        self.transaction = transaction
        self.state |= MAIL
        self.connection.begin_message(transaction.envelope.body == "BINARYMIME")

    def end_transaction(self) -> None:
        """Forget the message begun, if any."""
        self.state &= ~(MAIL | CHUNKS)
        if self.transaction is not None:
            self.transaction.close()
            self.transaction = None

    def _note_broken_off(self) -> None:
        """The connection ends: a message that was coming, and was not refused before, is dropped."""
        transaction = self.transaction
        if transaction is not None and transaction.size and transaction.fault is None:
            log.info(
                "%s: message of <%s> from %s broke off after %d octets",
                self.info.id,
                transaction.envelope.reverse_path,
                self.info.peer,
                transaction.size,
            )

    def message_done(self, reply: Reply) -> None:
        """The end of a message was answered so."""
        if reply.is_success:
            self.errors = self._commands = 0
        else:
            log.info(
                "%s: message from %s refused: %s %s", self.info.id, self.info.peer, reply.code, reply.lines[0]
            )

    def tls_started(self) -> None:
        """The handshake is done: the client begins anew (RFC 3207 4.2)."""
        self._forget_login()
        self.info = self.info._replace(hello="", extended=False, tls=self.stream.tls, account=None)
        self.state = self._first_state()

    def logged_in(self, account: Account) -> None:
        self.info = self.info._replace(account=account)
        self.state |= AUTHENTICATED | ADMITTED
        self._unwatch_login = self.authenticator.watch(account, self._login_ended)

    def _login_ended(self, why: Ended) -> None:
        """A message on its way is still taken, as when the server shuts down."""
        self._farewell = replies.login_ended(why.text)
        self.stream.wake()

    def _forget_login(self) -> None:
        if self._unwatch_login is not None:
            self._unwatch_login()
            self._unwatch_login = None

    def log_refusal(self, verb: str, path: Path, reply: Reply) -> None:
        log.info(
            "%s: %s <%s> from %s refused: %s %s",
            self.info.id,
            verb,
            path,
            self.info.peer,
            reply.code,
            reply.lines[0],
        )

    def _first_state(self) -> int:
        policy = self.policy
        state = 0
        if self.stream.tls is not None:
            state |= TLS
        if policy.tls_context is not None:
            state |= TLS_OFFERED
        if state & TLS or policy.allow_plaintext_auth:
            state |= CONFIDENTIAL
        if policy.role is Role.SUBMISSION:
            state |= LOGIN_OFFERED
            if state & CONFIDENTIAL:
                state |= ENCRYPTED_ENOUGH
            return state
        return state | ENCRYPTED_ENOUGH | ADMITTED
