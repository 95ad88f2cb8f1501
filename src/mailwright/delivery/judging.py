"""What the steps and the hooks say of a message, in one judgement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from mailwright.delivery.inbound import Arrival, Step, run_steps
from mailwright.delivery.reception import Verdict
from mailwright.hooks import Client, MessageArrived, RecipientGiven, Refuse, SenderGiven
from mailwright.hooks.caller import Decision, Hooks
from mailwright.message.builder import header as header_field
from mailwright.smtp.api import Envelope, SessionInfo
from mailwright.smtp.replies import Reply, reply
from mailwright.smtp.syntax.path import Path
from mailwright.store.incoming import IncomingMessage
from mailwright.store.model import Flag

_FLAGS: Final = {f"\\{flag.name}".lower(): flag for flag in Flag}


class Judgement(NamedTuple):
    """`fields` go in front of the header section; `redirect` is None when the recipients stay as they are."""

    verdicts: Sequence[Verdict] = ()
    refusal: Reply | None = None
    fields: bytes = b""
    flags: int = 0
    keywords: str = ""  # sorted, as the store wants them
    redirect: tuple[str, ...] | None = None


FINE: Final = Judgement()


class Judge:
    """Runs the steps, then asks the hooks."""

    def __init__(self, steps: Sequence[Step], hooks: Hooks) -> None:
        self._steps = steps
        self._hooks = hooks

    async def of_sender(self, info: SessionInfo, reverse_path: Path) -> Judgement:
        if not self._hooks.wants(SenderGiven):
            return FINE
        return _judgement(await self._hooks.ask(SenderGiven(_client(info), str(reverse_path))))

    async def of_recipient(self, info: SessionInfo, envelope: Envelope, path: Path) -> Judgement:
        if not self._hooks.wants(RecipientGiven):
            return FINE
        event = RecipientGiven(_client(info), str(envelope.reverse_path), str(path))
        return _judgement(await self._hooks.ask(event))

    async def of_message(
        self, info: SessionInfo, envelope: Envelope, header: bytes, message: IncomingMessage
    ) -> Judgement:
        verdicts, refusal = run_steps(self._steps, Arrival(info, envelope, header, message.size))
        if refusal is not None or not self._hooks.wants(MessageArrived):
            return Judgement(verdicts, refusal)
        event = MessageArrived(
            _client(info),
            str(envelope.reverse_path),
            tuple(str(recipient.path) for recipient in envelope.recipients),
            header,
            message.size,
            message.pieces,
        )
        return _judgement(await self._hooks.ask(event), verdicts)


def _judgement(decision: Decision, before: Sequence[Verdict] = ()) -> Judgement:
    flags = 0
    keywords: dict[str, str] = {}
    for flag in decision.flags:
        flags |= _FLAGS.get(flag.lower(), 0)
        if flag.lower() not in _FLAGS:
            keywords.setdefault(flag.lower(), flag)
    return Judgement(
        [*before, *(Verdict(*verdict) for verdict in decision.verdicts)],
        _reply(decision.refusal) if decision.refusal is not None else None,
        b"".join(header_field(name, value) for name, value in decision.fields),
        flags,
        " ".join(sorted(keywords.values())),
        decision.redirect,
    )


def _reply(refusal: Refuse) -> Reply:
    return reply(refusal.code, refusal.enhanced or f"{refusal.code // 100}.7.1", refusal.text)


def _client(info: SessionInfo) -> Client:
    return Client(
        info.peer.address,
        info.hello,
        info.role.value,
        f"{info.tls.version} {info.tls.cipher}" if info.tls is not None else "",
        info.account.address if info.account is not None else "",
    )
