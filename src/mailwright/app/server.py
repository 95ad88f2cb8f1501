"""A whole server: its rooms, its listeners, its start and its end."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime

from mailwright.app.outbound import Outbound, make_reports, queue_rules, sending_limits, server_itself
from mailwright.app.storage import account_locks, open_store
from mailwright.base.clock import SystemClock
from mailwright.config import Config
from mailwright.config import Listener as ListenerConfig
from mailwright.delivery import reception
from mailwright.delivery.inbound import loop_step
from mailwright.delivery.mailroom import DeliveryMailroom, MailroomRules
from mailwright.delivery.routing import Router
from mailwright.delivery.signing import KeyRing
from mailwright.directory.authenticator import DirectoryAuthenticator
from mailwright.directory.lockout import Lockout
from mailwright.hooks.caller import Hooks
from mailwright.hooks.loader import load
from mailwright.imap.service import Service as ImapService
from mailwright.imap.session import Session as ImapSession
from mailwright.net.api import Peer
from mailwright.net.listener import Connections, Listener, Refusals, Session, within
from mailwright.net.stream import StreamProtocol
from mailwright.pdf.reader import pdf_text
from mailwright.pop3.lock import LocalLocks
from mailwright.pop3.service import Policy as Pop3Policy
from mailwright.pop3.service import Services as Pop3Services
from mailwright.pop3.session import Pop3Session
from mailwright.queue.srs import Rewriter
from mailwright.smtp import replies
from mailwright.smtp.api import Policy, Role
from mailwright.smtp.session import Session as SmtpSession
from mailwright.store.blobs.disk import DiskBlobs
from mailwright.store.indexer import Indexer
from mailwright.store.settings import secret
from mailwright.tls.certificates import CertificateStore, ensure_self_signed

log = logging.getLogger(__name__)

_GRACE = 5.0  # seconds that sessions have to end
_CHORES = 60.0  # seconds between two rounds of housekeeping
_ORPHANS = 3600.0  # seconds between two looks for files without a row: each lists all files and all rows
_UPLOADS_KEPT = 86_400  # seconds after which an unfinished upload is removed

_SMTP_REFUSALS = Refusals(replies.OVERLOADED.to_bytes(), replies.SHUTTING_DOWN.to_bytes())
_IMAP_REFUSALS = Refusals(
    b"* BYE [UNAVAILABLE] Too many connections; try again later\r\n", b"* BYE The server is shutting down\r\n"
)
_POP3_REFUSALS = Refusals(
    b"-ERR [SYS/TEMP] Too many connections; try again later\r\n",
    b"-ERR [SYS/TEMP] The server is shutting down\r\n",
)


class App:
    """A whole server. `start` listens, `stop` ends it cleanly; in between it serves."""

    def __init__(self, config: Config) -> None:
        """Raises BadHooks, BadCertificate."""
        self.config = config
        self.clock = SystemClock()
        self.hostname = config.server.hostname or socket.getfqdn()
        config.server.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.store = open_store(config)
        self.certificates = self._certificates()
        self.listeners: list[Listener] = []
        self.indexer = Indexer(self.store, pdf_text)
        self.hooks = Hooks(load(config.hooks.modules, config.hooks.directory))
        self._keys = KeyRing(config.dkim_directory, config.dkim.selectors, enabled=config.dkim.enabled)
        self._queue_rules = queue_rules(config)
        self._reports = make_reports(config, self._keys, self._queue_rules, self.clock, self.hostname)
        self.outbound: Outbound | None = None
        self._maildrop_locks = account_locks(config)
        self._tasks: list[asyncio.Task[None]] = []
        self._orphans_at = self.clock.monotonic()  # when files without a row are looked for

    async def start(self) -> None:
        """Open the store and listen. Raises OSError, StoreError, BadCertificate."""
        await self.store.start()
        self._secret = await self.store.write(secret, "scram")
        self._srs_secret = await self.store.write(secret, "srs")
        exempt = self.config.auth.plaintext_networks if self.config.auth.allow_plaintext_without_tls else ()
        limits = self.config.limits
        lockout = Lockout(
            self.clock,
            limits.login_failures,
            limits.login_lockout,
            exempt=lambda address: within(address, exempt),
        )
        self.authenticator = DirectoryAuthenticator(self.store, lockout)
        self.mailroom = self._mailroom()
        await self._start_queue()
        self._imap = self._imap_service()
        self._plain_imap = copy.copy(self._imap)  # shares what the sessions share
        self._plain_imap.allow_plaintext_auth = True
        self._pop3 = self._pop3_services()
        await self._listen()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._do_chores()), loop.create_task(self.indexer.run())]

    async def stop(self) -> None:
        """Take no more connections, let the sessions end, keep what was accepted, close the store."""
        for listener in self.listeners:
            listener.stop_accepting()
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await asyncio.gather(*(listener.wait_closed(_GRACE) for listener in self.listeners))
        if self.outbound is not None:
            await self.outbound.stop()
        await self.hooks.close()
        await self.mailroom.refusals.close()
        self.authenticator.close()
        if self._maildrop_locks is not None:
            await self._maildrop_locks.close()
        await self.store.close()

    # Rooms

    def _certificates(self) -> CertificateStore:
        tls = self.config.tls
        if tls.certificate is not None and tls.key is not None:
            return CertificateStore(tls.certificate, tls.key)
        names = [self.hostname, "localhost", "127.0.0.1", "::1"]
        return CertificateStore(*ensure_self_signed(self.config.server.data, names, datetime.now(UTC)))

    def _mailroom(self) -> DeliveryMailroom:
        config = self.config
        rewriters: dict[str, Rewriter] = {}

        def rewriter(domain: str) -> Rewriter:
            if domain not in rewriters:
                if len(rewriters) > 1000:
                    rewriters.clear()
                rewriters[domain] = Rewriter(domain, (self._srs_secret,))
            return rewriters[domain]

        router = Router(
            self.store,
            self.clock,
            config.delivery.separator,
            self.hostname,
            server_itself(config, self.hostname),
            rewriter,
        )
        rules = MailroomRules(
            hostname=self.hostname,
            separator=config.delivery.separator,
            steps=(loop_step(config.delivery.received_limit),),
            queue=self._queue_rules,
            sending=sending_limits(config),
            report=self._reports,
        )
        return DeliveryMailroom(self.store, router, self._keys, rules, self.clock, self.hooks)

    async def _start_queue(self) -> None:
        if not self.config.queue.deliver:
            return
        self.outbound = Outbound(
            self.config,
            self.store,
            self._keys,
            self._queue_rules,
            self.clock,
            self.hostname,
            self.hooks,
            self._reports,
        )
        self.mailroom.dispatcher = self.outbound.runner
        await self.outbound.start()

    def _imap_service(self) -> ImapService:
        return ImapService(
            self.store,
            self.authenticator,
            self.clock,
            hostname=self.hostname,
            server_secret=self._secret,
            limits=self.config.limits,
            tls=self._tls_context,
            wake_indexer=self.indexer.wake,
        )

    def _pop3_services(self) -> Pop3Services:
        return Pop3Services(
            store=self.store,
            authenticator=self.authenticator,
            locks=self._maildrop_locks or LocalLocks(),
            limits=self.config.limits,
            hostname=self.hostname,
            clock=self.clock,
            server_secret=self._secret,
            tls=self._tls_context,
        )

    def _tls_context(self) -> ssl.SSLContext:
        return self.certificates.context

    # Services

    def _smtp_policy(self, role: Role) -> Policy:
        return Policy(
            role=role,
            hostname=self.hostname,
            limits=self.config.limits,
            tls_context=self._tls_context,
            server_secret=self._secret,
            requiretls=True,
        )

    def _may_log_in_plainly(self, peer: Peer) -> bool:
        auth = self.config.auth
        return auth.allow_plaintext_without_tls and within(peer.address, auth.plaintext_networks)

    def _smtp(self, role: Role) -> Callable[[StreamProtocol], Session]:
        policy = self._smtp_policy(role)
        plain = policy._replace(allow_plaintext_auth=True)

        def session(stream: StreamProtocol) -> Session:
            plainly = role is Role.SUBMISSION and self._may_log_in_plainly(stream.peer)
            chosen = plain if plainly else policy
            return SmtpSession(stream, chosen, self.mailroom, self.authenticator, self.clock)

        return session

    def _imap_session(self, stream: StreamProtocol) -> Session:
        plainly = self._may_log_in_plainly(stream.peer)
        return ImapSession(stream, self._plain_imap if plainly else self._imap)

    def _pop3_session(self, stream: StreamProtocol) -> Session:
        policy = Pop3Policy(allow_plaintext_auth=self._may_log_in_plainly(stream.peer))
        return Pop3Session(stream, self._pop3, policy)

    async def _listen(self) -> None:
        listeners = self.config.listeners
        connections = Connections(self.config.limits)
        relay, submission, lmtp = self._smtp(Role.RELAY), self._smtp(Role.SUBMISSION), self._smtp(Role.LMTP)
        services: tuple[
            tuple[str, ListenerConfig, Callable[[StreamProtocol], Session], Refusals, bool], ...
        ] = (
            ("smtp", listeners.smtp, relay, _SMTP_REFUSALS, False),
            ("submission", listeners.submission, submission, _SMTP_REFUSALS, False),
            ("submissions", listeners.submissions, submission, _SMTP_REFUSALS, True),
            ("lmtp", listeners.lmtp, lmtp, _SMTP_REFUSALS, False),
            ("imap", listeners.imap, self._imap_session, _IMAP_REFUSALS, False),
            ("imaps", listeners.imaps, self._imap_session, _IMAP_REFUSALS, True),
            ("pop3", listeners.pop3, self._pop3_session, _POP3_REFUSALS, False),
            ("pop3s", listeners.pop3s, self._pop3_session, _POP3_REFUSALS, True),
        )
        try:
            for name, config, session, refusals, tls in services:
                for address in config.addresses:
                    listener = Listener(
                        name=name,
                        host=address.host,
                        port=address.port,
                        session=session,
                        refusals=refusals,
                        connections=connections,
                        limits=self.config.limits,
                        tls=self._tls_context if tls else None,
                        proxies=config.proxy_networks,
                    )
                    await listener.start()
                    self.listeners.append(listener)
        except OSError:
            await self.stop()
            raise

    async def _do_chores(self) -> None:
        """What is done every minute: follow a renewed certificate, look at the logins, sweep, forget old records."""
        chores = (
            self._follow_certificate,
            self._check_logins,
            self._sweep,
            self._flush_reports,
            self._prune,
        )
        while True:
            for chore in chores:
                try:
                    await chore()
                except Exception:
                    log.exception("a chore failed; it will be tried again")
            await asyncio.sleep(_CHORES)

    async def _follow_certificate(self) -> None:
        if await asyncio.to_thread(self.certificates.reload):
            log.info("a new certificate is in use")

    async def _check_logins(self) -> None:
        self.authenticator.logins.check()

    async def _flush_reports(self) -> None:
        if self.outbound is not None:
            await self.outbound.flush()

    async def _prune(self) -> None:
        before = self.clock.now() - self.config.queue.keep_traces
        keep = self.config.delivery
        tables: dict[reception.Table, int] = {
            "receptions": keep.keep_receptions,
            "refusals": keep.keep_refusals,
        }
        for table, most in tables.items():
            while await self.store.write(reception.prune, table, before, most) == reception.PRUNE_BATCH:
                pass

    async def _sweep(self) -> None:
        before = int(self.clock.now()) - _UPLOADS_KEPT
        await self.store.write(self.store.blobs.sweep, before)
        if isinstance(self.store.blobs, DiskBlobs) and self.clock.monotonic() >= self._orphans_at:
            self._orphans_at = self.clock.monotonic() + _ORPHANS
            await self.store.read(self.store.blobs.unlink_orphans, before)
