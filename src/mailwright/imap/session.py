"""One IMAP connection: who the client is, what it has selected, and what it is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final
from unicodedata import normalize

from mailwright.imap import responses
from mailwright.imap.capabilities import capabilities
from mailwright.imap.commands.row import AUTHENTICATED, FRESH, SELECTED, Row
from mailwright.imap.commands.table import NUMBERED, PARSERS, TABLE
from mailwright.imap.connection import (
    Closed,
    Command,
    Connection,
    Event,
    SyntaxFault,
)
from mailwright.imap.languages import DEFAULT, translate
from mailwright.imap.news import refresh_rights
from mailwright.imap.reply import Bad, Refused, Reply
from mailwright.imap.search.answer import forget_saved, names_numbers
from mailwright.imap.selected import Selected
from mailwright.imap.service import Service
from mailwright.imap.telling import tell, tell_at_once
from mailwright.imap.watch import Watch
from mailwright.net.api import Stream
from mailwright.sasl.api import Account, Ended
from mailwright.store import errors
from mailwright.store.mailboxes import InvalidName

log = logging.getLogger(__name__)

_LITTLE: Final = 32 * 1024  # octets that need not be sent at once

# What the store's refusals are in IMAP (RFC 5530), the first that fits.
_CODES: Final[tuple[tuple[type[errors.StoreError], str], ...]] = (
    (errors.NoSuchMailbox, "NONEXISTENT"),
    (errors.NoRight, "NOPERM"),
    (errors.NotFound, "NONEXISTENT"),
    (errors.AlreadyExists, "ALREADYEXISTS"),
    (errors.OverQuota, "OVERQUOTA"),
    (InvalidName, "CANNOT"),
    (errors.NotAllowed, "CANNOT"),
    (errors.TemporaryFailure, "UNAVAILABLE"),
)


class LoginEnded(Exception):
    """The client's login holds no longer."""


class Session:
    """Drives one connection until it ends. All output goes through `write`; `drain` waits for a slow client."""

    __slots__ = (
        "_bad",
        "_ended",
        "_unsent",
        "_unsent_octets",
        "_unsubscribe",
        "_unwatch",
        "_unwatch_login",
        "_watched",
        "account",
        "by_uid",
        "closing",
        "connection",
        "enabled",
        "idle",
        "language",
        "notified",
        "selected",
        "service",
        "stream",
        "watching",
    )

    def __init__(self, stream: Stream, service: Service) -> None:
        limits = service.limits
        self.stream = stream
        self.service = service
        self.connection = Connection(PARSERS, limits.imap_line, limits.imap_literal, limits.message_size)
        self.account: Account | None = None
        self.selected: Selected | None = None
        self.enabled: frozenset[str] = frozenset()
        self.notified = 0  # the watched account's modseq, as far as we heard
        self.by_uid = False  # the command that came last names messages by their UIDs
        self.idle = False  # waiting in IDLE: changes are told at once
        self.watching: Watch | None = None  # what NOTIFY asked for
        self.closing = False
        self.language = DEFAULT
        self._bad = 0
        self._ended: Ended | None = None
        self._unsent: list[bytes] = []  # octets that go out together: each call of the system has its price
        self._unsent_octets = 0
        self._unsubscribe: Callable[[], None] | None = None
        self._unwatch_login: Callable[[], None] | None = None
        self._watched = 0  # the account whose mailbox is selected
        self._unwatch: Callable[[], None] | None = None  # of another's account

    @property
    def state(self) -> int:
        if self.account is None:
            return FRESH
        return AUTHENTICATED if self.selected is None else SELECTED

    async def run(self) -> None:
        """Serve the client until either side ends the connection. Raises nothing."""
        try:
            self.write(self.untagged("OK", f"{self.service.hostname} ready", self.capability_code()))
            await self._serve()
        except TimeoutError:
            self.write(self.untagged("BYE", "Nothing was heard for too long; connect again"))
        except LoginEnded:
            assert self._ended is not None
            code = "EXPIRED" if self._ended.expired else "CONTACTADMIN"
            self.write(self.untagged("BYE", self._ended.text, code))  # RFC 5530 3
        except ConnectionError:
            pass
        except asyncio.CancelledError:
            self.write(self.untagged("BYE", "The server is shutting down; connect again in a moment"))
        except Exception:
            log.exception("the session of %s failed", self.stream.peer)
            self.write(self.untagged("BYE", "The server met an error of its own; its log says more"))
        finally:
            self._unsubscribe_all()
            self._flush()
        await self.stream.close()

    async def _serve(self) -> None:
        while not self.closing:
            event = await self.poll_event()
            if isinstance(event, Closed):
                return
            if event is None:
                await tell_at_once(self)
            elif isinstance(event, Command):
                await self._run_command(event)
            elif isinstance(event, SyntaxFault):
                self._write_fault(event)

    # Reading and writing

    def write(self, data: bytes) -> None:
        """Say something, at the next `drain` or when we wait for the client."""
        self._unsent.append(data)
        self._unsent_octets += len(data)

    def _flush(self) -> None:
        if self._unsent:
            self.stream.write(self._unsent[0] if len(self._unsent) == 1 else b"".join(self._unsent))
            self._unsent.clear()
            self._unsent_octets = 0

    def tagged(self, tag: str, condition: str, text: str, code: str = "") -> bytes:
        """A status response in the client's language (RFC 5255 3.4)."""
        if self.language == DEFAULT:
            return responses.tagged(tag, condition, text, code, self.utf8)
        return responses.tagged(tag, condition, translate(text, self.language), code, True)

    def untagged(self, condition: str, text: str, code: str = "") -> bytes:
        return self.tagged("*", condition, text, code)

    async def drain(self) -> None:
        """Send what was written, and wait for a client that is slow to take it."""
        self._flush()
        await self.stream.drain()

    async def drain_much(self) -> None:
        """As `drain`, unless it is so little that it can go with what follows."""
        if self._unsent_octets > _LITTLE:
            await self.drain()

    async def next_event(self) -> Event:
        """The next event from the client; what was written is sent before we wait.

        Raises TimeoutError, ConnectionError and LoginEnded.
        """
        while True:
            event = await self.poll_event()
            if event is not None:
                return event

    async def poll_event(self) -> Event | None:
        """As `next_event`, but None when the stream was woken, for news."""
        while True:
            if self._ended is not None:
                raise LoginEnded
            event = self.connection.next_event()
            output = self.connection.output()
            if output:
                self.write(output)
            if event is not None:
                return event
            await self.drain()
            data = await self.stream.read(self._timeout())
            if data is None:
                return None
            self.connection.receive_data(data)

    def _timeout(self) -> float:
        limits = self.service.limits
        return limits.imap_login_timeout if self.account is None else limits.imap_idle_timeout

    # Commands

    async def _run_command(self, command: Command) -> None:
        name = f"UID {command.name}" if command.uid else command.name
        row = TABLE[name]
        self.by_uid = command.uid
        try:
            _check_state(name, row, self.state)
            self._check_numbers(name)
            await refresh_rights(self)
            if row.tells_first:
                await tell(self, expunge=self._may_expunge(row, command.args))
            reply = await row.run(self, command)
            if self.account is not None and reply is not None:
                await self._tell_after(row, command.args)
        except Refused as refusal:
            reply = Reply(refusal.text, refusal.code, refusal.condition)
        except errors.StoreError as error:
            reply = Reply(_sentence(error), _code(error), "NO")
        except (ConnectionError, TimeoutError, LoginEnded):
            raise
        except Exception:
            log.exception("%s of %s failed", name, self.stream.peer)
            reply = Reply("The server met an error of its own; its log says more", "SERVERBUG", "NO")
        if reply is None:
            return
        if reply.condition == "NO" and self.selected is not None:
            forget_saved(self.selected, command.args)
        reply = self._with_complete(reply)
        self.write(self.tagged(command.tag, reply.condition, reply.text, reply.code))
        self._count_bad(reply.condition)
        if command.name in ("APPEND", "REPLACE"):
            self.connection.abandon_append()

    async def _tell_after(self, row: Row, args: object) -> None:
        """Tell what happened. What the command did is done, so that a store which fails now changes no reply."""
        expunge = self._may_expunge(row, args)
        try:  # noqa: SIM105 - `suppress` would take longer than there is usually to tell
            await tell(self, expunge=expunge, read=row.reads_changes, always=row.always_tells)
        except errors.TemporaryFailure:
            pass
        if not expunge and self.watching is not None and self.watching.immediate:
            self.stream.wake()  # RFC 5465 6.1.1: what may not come before the reply comes behind it

    def _with_complete(self, reply: Reply) -> Reply:
        """With the modseq up to which the client knows all, while it cannot be told what is gone (RFC 7162 3.2, 6)."""
        selected = self.selected
        if selected is None or "QRESYNC" not in self.enabled or not selected.view.has_expunged:
            return reply
        code = f"HIGHESTMODSEQ {selected.view.complete}"
        if reply.condition == "OK" and not reply.code:
            return Reply(reply.text, code)
        if reply.condition != "BAD":
            self.write(self.untagged("OK", "Some messages are gone", code))
        return reply

    def _check_numbers(self, name: str) -> None:
        if name in NUMBERED and "UIDONLY" in self.enabled:
            raise Bad(f"{name}: sequence numbers are not used any more", "UIDREQUIRED")  # RFC 9586 3

    def _may_expunge(self, row: Row, args: object) -> bool:
        """RFC 3501 7.4.1, and 5.5 for what is pipelined; RFC 7162 3.2.10.2 for UID SEARCH among numbers."""
        if row.uses_numbers or row.expunges:
            return row.expunges
        if names_numbers(args):
            return False
        name = self.connection.pending_command()
        return not name or (name not in NUMBERED and not (name in TABLE and TABLE[name].uses_numbers))

    def _write_fault(self, fault: SyntaxFault) -> None:
        self.write(self.tagged(fault.tag, fault.condition, fault.text, fault.code))
        self._count_bad(fault.condition)

    def _count_bad(self, condition: str) -> None:
        self._bad = self._bad + 1 if condition == "BAD" else 0
        if self._bad > self.service.limits.bad_commands:
            self.write(self.untagged("BYE", "Too many bad commands"))
            self.closing = True

    # Who

    def is_called(self, host: str) -> bool:
        """Whether a name in a URL is ours: the configured one, that by which the client reached us, its mail domain."""
        tls = self.stream.tls
        known = {self.service.hostname.lower(), (tls.server_name or "").lower() if tls is not None else ""}
        if self.account is not None:
            known.add(self.account.address.rpartition("@")[2])
        return bool(host) and host.partition(":")[0].lower() in known

    def capabilities(self) -> str:
        """The capabilities as they hold now, separated by spaces."""
        tls = self.stream.tls
        bound = tls is not None and tls.server_end_point is not None
        return capabilities(self.service, tls is not None, self.account is not None, bound)

    def capability_code(self) -> str:
        return "CAPABILITY " + self.capabilities()

    def log_in(self, account: Account) -> None:
        """From now on the client is this account."""
        self.account = account
        self._watched = account.id
        self._unsubscribe = self.service.store.notify.subscribe(account.id, self._heard)
        self._unwatch_login = self.service.authenticator.watch(account, self._login_ended)

    def _login_ended(self, why: Ended) -> None:
        self._ended = why
        self.stream.wake()

    def log_out(self) -> None:
        """From now on the client is nobody, and nothing that it asked for holds any more (RFC 8437 3)."""
        self._unsubscribe_all()
        self.account = self.selected = None
        self.enabled = frozenset()
        self.connection.utf8 = False
        self.language = DEFAULT
        self.notified = self._watched = 0

    def _unsubscribe_all(self) -> None:
        for unsubscribe in (self._unsubscribe, self._unwatch, self._unwatch_login):
            if unsubscribe is not None:
                unsubscribe()
        self._unsubscribe = self._unwatch = self._unwatch_login = None
        if self.watching is not None:
            self.watching.close()
            self.watching = None

    def note_own(self, account: int, modseq: int) -> None:
        """A change to an account's mail is this client's own, which knows of it."""
        if self.selected is not None and self.selected.key[0] == account:
            self.selected.own.add(modseq)
        if self.watching is not None:
            self.watching.own.add((account, modseq))

    def note_own_names(self, *names: str) -> None:
        """What happened to these names of mailboxes was this client's doing."""
        if self.watching is not None:
            self.watching.own_names.update(normalize("NFC", name.rstrip("/")) for name in names)

    def use_condstore(self) -> None:
        """RFC 7162 3.1: to use CONDSTORE is to enable it. A client that did not so far is told where its mailbox is."""
        if "CONDSTORE" not in self.enabled:
            self.enabled |= {"CONDSTORE"}
            if self.selected is not None:
                code = f"HIGHESTMODSEQ {self.selected.view.complete}"
                self.write(self.untagged("OK", "The highest mod-sequence", code))

    def showed_newest(self) -> None:
        """Mod-sequences of what is in the store now were shown: the news up to them come before the reply."""
        if self.selected is not None:
            self.selected.ahead = True

    def watch(self, account: int) -> None:
        """From now on hear of the changes of this account, whose mailbox will be selected."""
        if account == self._watched:
            return
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        self._watched = account
        self.notified = 0
        if account != self.account_id:
            self._unwatch = self.service.store.notify.subscribe(account, self._heard)

    def _heard(self, account: int, modseq: int) -> None:
        if account == self._watched:
            self.notified = max(self.notified, modseq)
        if self.idle or (self.watching is not None and self.watching.asked):
            self.stream.wake()

    @property
    def rev2(self) -> bool:
        """Whether the client speaks IMAP4rev2 (RFC 9051)."""
        return "IMAP4REV2" in self.enabled

    @property
    def utf8(self) -> bool:
        """Whether mailbox names and strings go in UTF-8 (RFC 6855 3, RFC 9051 5.1)."""
        return self.connection.utf8

    @property
    def account_id(self) -> int:
        """The id of the account; only for commands of the states after login."""
        assert self.account is not None
        return self.account.id

    def open_mailbox(self) -> Selected:
        """The selected mailbox; only for commands of that state.

        Raises Refused when it was deleted, or its owner no longer lets us read it.
        """
        assert self.selected is not None
        if self.selected.gone:
            raise Refused("The selected mailbox was deleted; select another one", "NONEXISTENT")
        self._need("r")
        return self.selected

    def _need(self, rights: str) -> None:
        assert self.selected is not None
        for right in rights:
            if right not in self.selected.rights:
                raise Refused(f"You lack the right '{right}' on this mailbox; ask its owner for it", "NOPERM")

    def writable_mailbox(self, rights: str = "") -> Selected:
        """As `open_mailbox`, when it may be changed by who has these rights."""
        selected = self.open_mailbox()
        if selected.read_only:
            raise Refused("The mailbox is open for reading only; SELECT it to change it", "NOPERM")
        self._need(rights)
        return selected


def _check_state(name: str, row: Row, state: int) -> None:
    if row.states & state:
        return
    if state == FRESH:
        raise Bad(f"{name}: log in first")
    if row.states == FRESH:
        raise Bad(f"{name}: you are logged in already")
    raise Bad(f"{name}: select a mailbox first")


def _code(error: errors.StoreError) -> str:
    return next((code for kind, code in _CODES if isinstance(error, kind)), "")


def _sentence(error: errors.StoreError) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]
