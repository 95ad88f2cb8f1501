"""The mailroom behind SMTP, submission and LMTP: who may send, who gets it, and keeping it. See `smtp.api.Mailroom`."""

from __future__ import annotations

import functools
import itertools
import logging
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from mailwright.base.clock import Clock
from mailwright.delivery import success, trace
from mailwright.delivery.admission import Admission, may_use
from mailwright.delivery.inbound import Step
from mailwright.delivery.judging import Judge
from mailwright.delivery.local import Delivery, Outbound, Outcome, deliver
from mailwright.delivery.permission import Permissions
from mailwright.delivery.reception import Reception, Verdict, describe
from mailwright.delivery.refusals import Refusals
from mailwright.delivery.routing import Route, Router
from mailwright.delivery.signing import KeyRing, author
from mailwright.delivery.submission import MAX_HEADER, header_section, mend, own_id
from mailwright.directory.resolve import Destination
from mailwright.hooks import Delivered
from mailwright.hooks import Queued as QueuedEvent
from mailwright.hooks.caller import Hooks
from mailwright.message.header import iterate_fields
from mailwright.queue.intake import Lease, Queued
from mailwright.queue.limits import SendingLimits
from mailwright.queue.model import Reporter, Rules
from mailwright.queue.values import NewMessage, NewRecipient, parse_notify
from mailwright.smtp import replies
from mailwright.smtp.api import Answer, Envelope, Recipient, Role, SessionInfo
from mailwright.smtp.api import IncomingMessage as SmtpIncoming
from mailwright.smtp.replies import Reply
from mailwright.smtp.syntax.parameters import MailParameters, RcptParameters
from mailwright.smtp.syntax.path import Path
from mailwright.store.arrivals import PreparedMessage
from mailwright.store.blobs.api import Blob
from mailwright.store.errors import NoSuchAccount, StoreFull, TemporaryFailure
from mailwright.store.incoming import IncomingMessage
from mailwright.store.store import Store

log = logging.getLogger(__name__)

_FEW: Final = 20  # accounts and other recipients to which a message goes, and is still kept briefly
_NOT_OURS: Final = Route(refusal=replies.RELAY_DENIED)


@dataclass(frozen=True)
class MailroomRules:
    """What the configuration says about accepting mail."""

    hostname: str
    separator: str = "+"
    steps: tuple[Step, ...] = ()
    queue: Rules = field(default_factory=Rules)
    sending: SendingLimits = field(default_factory=SendingLimits)
    report: Reporter | None = None  # tells who asked with NOTIFY=SUCCESS


class _Work(NamedTuple):
    """One accepted message: what goes where. Of elsewhere, the recipient and the address that it leads to."""

    routes: list[Route]  # in the order of the recipients
    destinations: list[Destination]  # each account once
    forwarded: list[tuple[Recipient, str]]  # what an alias of ours sends on
    relayed: list[tuple[Recipient, str]]  # what our user sends to others


class Dispatcher(Protocol):
    """Who sends what is in the queue; see `queue.runner.Runner`."""

    def lease(self, message: NewMessage) -> Lease | None:
        """Under which the message may be queued, when it can be sent at once."""
        ...

    def queued(self, queued: Iterable[Queued]) -> None:
        """These messages are in the queue now."""
        ...


class _NoDispatcher:
    """Where nothing is sent, mail waits in the queue."""

    def lease(self, message: NewMessage) -> Lease | None:
        return None

    def queued(self, queued: Iterable[Queued]) -> None:
        pass


class DeliveryMailroom:
    """Implements `smtp.api.Mailroom` over the directory, the store and the queue."""

    def __init__(
        self,
        store: Store,
        router: Router,
        keys: KeyRing,
        rules: MailroomRules,
        clock: Clock,
        hooks: Hooks | None = None,
    ) -> None:
        self._store = store
        self._router = router
        self._keys = keys
        self._rules = rules
        self._clock = clock
        self._deliver = functools.partial(deliver, rules=rules.queue, report=rules.report)
        self._hooks = hooks or Hooks()
        self._judge = Judge(rules.steps, self._hooks)
        self.refusals = Refusals(store)
        self._permissions = Permissions(store, clock, rules.separator, rules.sending)
        self._admission = Admission(router, self._permissions, self._judge, self._hooks, self.note_refusal)
        self._run = secrets.token_hex(4)  # tells the messages of this run from those of others
        self._numbers = itertools.count(0x100)
        self.dispatcher: Dispatcher = _NoDispatcher()

    def check_sender(self, info: SessionInfo, reverse_path: Path, parameters: MailParameters) -> Answer:
        """See `smtp.api.Mailroom`."""
        return self._admission.check_sender(info, reverse_path)

    def check_recipient(
        self, info: SessionInfo, envelope: Envelope, forward_path: Path, parameters: RcptParameters
    ) -> Answer:
        """See `smtp.api.Mailroom`."""
        return self._admission.check_recipient(info, envelope, forward_path)

    def open_message(self) -> IncomingMessage:
        """See `smtp.api.Mailroom`."""
        return self._store.incoming()

    async def accept(
        self, info: SessionInfo, envelope: Envelope, message: SmtpIncoming
    ) -> Reply | list[Reply]:
        """Keep the message for all its recipients, durably, in one transaction."""
        assert isinstance(message, IncomingMessage)  # as `open_message` gave it
        try:
            return await self._accept(info, envelope, message)
        except StoreFull as error:
            log.warning("refused a message from %s: %s", info.peer, error)
            refusal = replies.STORAGE_FULL
        except NoSuchAccount as error:
            log.warning("deferred a message from %s: %s", info.peer, error)
            refusal = replies.RECIPIENT_GONE
        except TemporaryFailure as error:
            log.warning("deferred a message from %s: %s", info.peer, error)
            refusal = replies.STORE_BUSY
        self.note_refusal(info, envelope, refusal)
        return refusal

    def note_refusal(
        self, info: SessionInfo, envelope: Envelope, refusal: Reply, verdicts: Sequence[Verdict] = ()
    ) -> None:
        """See `smtp.api.Mailroom`."""
        now = self._clock.now()
        self.refusals.note(describe(info, envelope, now, verdicts, size=envelope.size, refusal=refusal))

    async def _accept(
        self, info: SessionInfo, envelope: Envelope, message: IncomingMessage
    ) -> Reply | list[Reply]:
        now = self._clock.now()
        header = await self._header(message)
        judgement = await self._judge.of_message(info, envelope, header, message)
        if judgement.refusal is not None:
            return self._refuse(info, envelope, judgement.refusal, judgement.verdicts)
        work = await self._plan(info, envelope, judgement.redirect)
        gone = _who_went_away(info, work.routes)
        if gone:
            verdicts = [*judgement.verdicts, Verdict("recipients", "refuse", "they changed since RCPT")]
            self._refuse(info, envelope, gone[0], verdicts)
            return gone
        if work.forwarded and self._came_back(header, envelope):
            verdicts = [*judgement.verdicts, Verdict("loop", "refuse", "it was forwarded here before")]
            return self._refuse(info, envelope, replies.MAIL_LOOP, verdicts)
        mail_id = f"{self._run}{next(self._numbers):x}"
        skip = len(header)
        if info.role is Role.SUBMISSION and (header or message.size <= MAX_HEADER):
            sender = str(envelope.reverse_path)
            if not sender and info.account is not None:
                sender = info.account.address  # a report of theirs has an author all the same
            header = mend(header, sender, f"{mail_id}.{int(now)}@{self._rules.hostname}", now)
        elif not header and message.size <= MAX_HEADER:
            header = b"\r\n"  # it is text, and must not become a part of ours
        head = judgement.fields + trace.received(info, envelope, self._rules.hostname, mail_id, now) + header
        if info.role is Role.SUBMISSION:
            domain = await self._signing_domain(info, envelope, header)
            head = await self._sign(domain, head, message, skip, now) + head
        content = await self._local_content(envelope, work, message, head, skip)
        outbound: list[Outbound] = []
        message_id = content.summary.message_id if content is not None else own_id(header)
        if work.relayed or work.forwarded:
            outbound = await self._outbound(info, envelope, work, message, message_id, head, skip, now)
        enforce = _may_be_full(info, work.routes)
        reception = describe(
            info,
            envelope,
            now,
            [*judgement.verdicts, *_refusals(envelope, work.routes)],
            mail_id=mail_id,
            size=message.size,
            message_id=message_id,
        )
        marks = judgement.flags, judgement.keywords
        asked = success.asked(info, envelope, work.routes, head, now)
        whole = info.role is not Role.LMTP
        delivery = Delivery(
            content, work.destinations, outbound, now, enforce, reception, *marks, asked, whole
        )
        failed, queued = await self._keep(delivery)
        if queued:
            self.dispatcher.queued(queued)
        queue_ids = [item.id for item in queued]
        self._tell_hooks(reception, work, failed, queue_ids)
        if log.isEnabledFor(logging.INFO):
            self._tell(info, envelope, message.size, mail_id, queue_ids)
        accepted = replies.accepted(f"{mail_id} {queue_ids[0]}" if queue_ids else mail_id)
        if not failed and all(route.refusal is None for route in work.routes):
            return accepted
        return [_result(route, failed, accepted) for route in work.routes]

    async def _keep(self, delivery: Delivery) -> Outcome:
        count = len(delivery.destinations) + sum(len(item.message.recipients) for item in delivery.outbound)
        if count > _FEW or delivery.asked is not None:  # a report is signed, with a key from the disk
            return (await self._store.write(self._deliver, [delivery]))[0]
        return await self._store.write_together(self._deliver, delivery)

    def _refuse(
        self, info: SessionInfo, envelope: Envelope, refusal: Reply, verdicts: Sequence[Verdict]
    ) -> Reply:
        log.info("refused a message from %s at %s: %s", info.peer, verdicts[-1].name, refusal.lines[0])
        self.note_refusal(info, envelope, refusal, verdicts)
        return refusal

    def _tell_hooks(
        self, reception: Reception, work: _Work, failed: dict[int, str], queue_ids: list[int]
    ) -> None:
        sender, message_id = reception.sender, reception.message_id
        if self._hooks.wants(Delivered):
            accounts = tuple(found.address for found in work.destinations if found.account not in failed)
            if accounts:
                self._hooks.tell(Delivered(reception.id, sender, message_id, accounts))
        if queue_ids and self._hooks.wants(QueuedEvent):
            self._hooks.tell(QueuedEvent(reception.id, sender, message_id, tuple(queue_ids)))

    def _tell(
        self, info: SessionInfo, envelope: Envelope, size: int, mail_id: str, queue_ids: list[int]
    ) -> None:
        log.info(
            "%s: from=<%s> to=%s size=%d peer=%s queued=%s",
            mail_id,
            envelope.reverse_path,
            ",".join(f"<{recipient.path}>" for recipient in envelope.recipients[:20]),
            size,
            info.peer,
            ",".join(map(str, queue_ids)) or "-",
        )

    async def _header(self, message: IncomingMessage) -> bytes:
        if message.in_memory:
            head = message.head(MAX_HEADER)
        else:
            head = await self._store.off_loop(message.head, MAX_HEADER)
        return header_section(head, len(head) == message.size)

    async def _plan(
        self, info: SessionInfo, envelope: Envelope, redirect: Sequence[str] | None = None
    ) -> _Work:
        router = self._router
        if redirect is None:
            paths = [recipient.path for recipient in envelope.recipients]
            found = [router.known(path) or await router.route(path) for path in paths]
            routes = [route if may_use(info, route) else _NOT_OURS for route in found]
        else:
            routes = [await router.redirect(redirect)] * len(envelope.recipients)
        destinations = {found.account: found for route in routes for found in route.resolution.accounts}
        work = _Work(routes, list(destinations.values()), [], [])
        seen: set[str] = set()
        for recipient, route in zip(envelope.recipients, routes, strict=True):
            given = success.passed_on(recipient) if success.is_expanded(route) else recipient
            for address in route.remote:
                if address not in seen:
                    seen.add(address)
                    (work.forwarded if route.local else work.relayed).append((given, address))
        return work

    def _came_back(self, header: bytes, envelope: Envelope) -> bool:
        """Whether we forwarded this message before: it carries a Delivered-To of one of its recipients."""
        marks = {
            header[found.value_start : found.value_end].strip().lower()
            for found in iterate_fields(header)
            if found.name == b"delivered-to"
        }
        return any(str(recipient.path).lower().encode() in marks for recipient in envelope.recipients)

    async def _local_content(
        self, envelope: Envelope, work: _Work, message: IncomingMessage, head: bytes, skip: int
    ) -> PreparedMessage | None:
        if not work.destinations:
            return None
        front = trace.return_path(str(envelope.reverse_path))
        if len(envelope.recipients) == 1:
            front += trace.delivered_to(str(envelope.recipients[0].path))
        return await message.finish(front + head, skip)

    async def _outbound(
        self,
        info: SessionInfo,
        envelope: Envelope,
        work: _Work,
        message: IncomingMessage,
        message_id: str,
        head: bytes,
        skip: int,
        now: float,
    ) -> list[Outbound]:
        found: list[Outbound] = []
        if envelope.body == "7BIT" and not message.is_ascii:  # many send eight bits and do not say so
            envelope = envelope._replace(body="8BITMIME")  # RFC 6152 3: the next server has to be told
        if work.relayed:
            content = await message.pack(head, skip)
            account = info.account.id if info.account is not None else 0
            sender = str(envelope.reverse_path)
            found.append(
                self._queued(info, envelope, content, message_id, work.relayed, now, sender, account)
            )
        by_alias: dict[Path, list[tuple[Recipient, str]]] = {}
        for recipient, address in work.forwarded:
            by_alias.setdefault(recipient.path, []).append((recipient, address))
        for alias, items in by_alias.items():
            content = await message.pack(trace.delivered_to(str(alias)) + head, skip)
            sender = str(envelope.reverse_path)  # of our own user, it leads here as it is
            if info.account is None:
                sender = self._router.rewrite(envelope.reverse_path, alias.domain, now)
            found.append(self._queued(info, envelope, content, message_id, items, now, sender, 0))
        return found

    def _queued(
        self,
        info: SessionInfo,
        envelope: Envelope,
        content: Blob,
        message_id: str,
        items: Sequence[tuple[Recipient, str]],
        now: float,
        sender: str,
        account: int,
    ) -> Outbound:
        recipients = tuple(
            NewRecipient(
                address,
                recipient.orcpt or f"{'utf-8' if recipient.path.needs_utf8 else 'rfc822'};{recipient.path}",
                parse_notify(",".join(recipient.notify)),
            )
            for recipient, address in items
        )
        message = NewMessage(
            blob=0,
            size=content.size,
            reverse_path=sender,
            recipients=recipients,
            received_at=now,
            account=account,
            message_id=message_id,
            envid=envelope.envid,
            ret=envelope.ret,
            body=envelope.body,
            smtputf8=envelope.smtputf8,
            requiretls=envelope.requiretls,
            origin=f"{info.account.address if info.account else 'forwarded'} from {info.peer}",
        )
        return Outbound(content, message, self.dispatcher.lease(message))

    async def _signing_domain(self, info: SessionInfo, envelope: Envelope, header: bytes) -> str:
        """The author's domain if the author may be whoever logged in: nobody signs as another domain of this server."""
        account, address = info.account, author(header)
        own = envelope.reverse_path.domain.lower()
        if not own and account is not None:
            own = account.address.rpartition("@")[2]
        domain = address.rpartition("@")[2].lower()
        if domain in ("", own) or account is None:
            return own
        if not (await self._has_key(own) or await self._has_key(domain)):
            return own  # whichever it is, nothing is signed
        return domain if await self._permissions.is_own(account.id, address) else own

    async def _has_key(self, domain: str) -> bool:
        known = self._keys.has_key(domain)
        return bool(await self._store.off_loop(self._keys.signers, domain)) if known is None else known

    async def _sign(self, domain: str, head: bytes, message: IncomingMessage, skip: int, now: float) -> bytes:
        if not domain or self._keys.has_key(domain) is False:
            return b""
        # Signed in front of our Received field, which later hops may change: it is not among the signed fields.
        return await self._store.off_loop(_sign, self._keys, domain, head, message, skip, now)


def _sign(keys: KeyRing, domain: str, head: bytes, message: IncomingMessage, skip: int, now: float) -> bytes:
    if not keys.signers(domain):
        return b""
    return keys.sign(domain, head, message.pieces(skip), now)


def _who_went_away(info: SessionInfo, routes: Sequence[Route]) -> list[Reply]:
    """The replies to a message that is kept for nobody, because recipients are refused by now; [] to go on.

    SMTP has one reply for all: if it were a failure while some have the message, they would get it again from who
    tries again. So it is deferred for all, and the next RCPT tells who is gone. LMTP has a reply for each.
    """
    refusals = [route.refusal for route in routes if route.refusal is not None]
    if not refusals or len(refusals) == len(routes):
        return refusals
    return [] if info.role is Role.LMTP else [replies.RECIPIENT_GONE] * len(routes)


def _refusals(envelope: Envelope, routes: Sequence[Route]) -> list[Verdict]:
    """What the record tells of recipients that LMTP is told are gone."""
    return [
        Verdict("recipient", "refuse", f"{recipient.path}: {route.refusal.lines[0]}")
        for recipient, route in zip(envelope.recipients, routes, strict=True)
        if route.refusal is not None
    ]


def _may_be_full(info: SessionInfo, routes: Sequence[Route]) -> bool:
    """Whether quotas are enforced: where whom a full account refuses is told, and others do not have the message."""
    alone = all(len(route.resolution.accounts) + len(route.remote) <= 1 for route in routes)
    return alone and (info.role is Role.LMTP or len(routes) == 1)


def _result(route: Route, failed: dict[int, str], accepted: Reply) -> Reply:
    """The reply for one recipient of several over LMTP, or for the only one: a failure when nobody took the message."""
    if route.refusal is not None:  # the account went away since RCPT
        return route.refusal
    accounts = [destination.account for destination in route.resolution.accounts]
    if route.remote or not accounts or any(account not in failed for account in accounts):
        return accepted
    return replies.OVER_QUOTA if failed[accounts[0]] == "quota" else replies.RECIPIENT_GONE
