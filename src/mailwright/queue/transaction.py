"""One message over an open connection: MAIL to the end of data, a result for each recipient."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from mailwright.queue.values import Message, Outcome, Recipient, Result, notify_to_text
from mailwright.queue.wire import COMMAND_TIMEOUT, DATA_TIMEOUT, FINAL_TIMEOUT, Lost, Wire, reply_text
from mailwright.smtp.replies import Reply
from mailwright.smtp.syntax.parameters import NO_RCPT_PARAMETERS, MailParameters, RcptParameters
from mailwright.smtp.syntax.path import NULL_PATH, Path, PathFault, parse_mailbox

ONE_SHOT: Final = 64 * 1024  # octets up to which all of a message is sent with its envelope
CHUNK: Final = 256 * 1024
_CHUNKS_AHEAD: Final = 4  # chunks that may be sent before the first is answered


class Body(NamedTuple):
    """The content to send: `whole` when it is in memory, else to be read piece by piece."""

    size: int
    whole: bytes | None
    kind: str  # 7BIT, 8BITMIME or BINARYMIME
    read: Callable[[int, int], Awaitable[bytes]] | None = None

    async def piece(self, start: int) -> bytes:
        """The octets from `start`, at most CHUNK."""
        stop = min(start + CHUNK, self.size)
        if self.whole is not None:
            return self.whole[start:stop]
        assert self.read is not None
        return await self.read(start, stop)


async def check_peer(
    wire: Wire, message: Message, recipients: Sequence[Recipient], body: Body
) -> Result | None:
    """Why this peer can never take this message; None: it may. Raises StoreError."""
    extensions = wire.machine.extensions
    if extensions.size is not None and body.size > extensions.size:
        text = f"the message has {body.size} octets, the server takes {extensions.size}"
        return Result(Outcome.FAILED, "mail", "5.3.4", text)
    if "SMTPUTF8" not in extensions:
        header = (await body.piece(0)).partition(b"\r\n\r\n")[0] if message.smtputf8 else b""
        if not header.isascii() or _in_envelope(message, recipients):
            return Result(Outcome.FAILED, "mail", "5.6.7", "the server does not offer SMTPUTF8")
    return None


def _in_envelope(message: Message, recipients: Sequence[Recipient]) -> bool:
    """Whether an address is not ASCII; an alias may lead to such a one from mail that is."""
    return not (message.reverse_path.isascii() and all(r.address.isascii() for r in recipients))


class Sender:
    """Sends one message to some recipients; `results` fills up, in their order. `host` is who answers."""

    def __init__(
        self, wire: Wire, message: Message, recipients: Sequence[Recipient], body: Body, host: str = ""
    ) -> None:
        self._wire = wire
        self._machine = wire.machine
        self._message = message
        self._recipients = recipients
        self._body = body
        self._host = host
        self._phase = "mail"
        self._envelope = b""  # sent already, behind the content of the message before
        self._ahead: Sender | None = None
        self._sent = False  # the content too, to its end
        self.answered = False  # the peer has replied to something, and not that the connection is over
        self.results: list[Result | None] = [None] * len(recipients)
        self._paths = self._parse_paths()

    async def send(self, ahead: Sender | None = None) -> list[Result]:
        """All recipients, in as many transactions as the peer wants (RFC 9422, RFC 5321 4.5.3.1.10).

        `ahead` is the next message on this wire: its envelope goes along with this content, where that may be
        (RFC 2920 3.1); then its own `send` has to come next.
        """
        paths = self._paths
        pending = list(paths)
        most = self._most_recipients
        try:
            while pending:
                part = pending[:most]
                self._ahead = ahead if part == pending else None  # our own others come first
                again = await self._transact({n: paths[n] for n in part})
                pending = again + pending[len(part) :]
                most = max(1, len(part) - len(again))
                if self._wire.is_lost:
                    break
        except Lost as error:
            self._lose(str(error))
        else:
            if None in self.results:
                self._lose("the peer closed the connection")
        return [result for result in self.results if result is not None]

    @property
    def is_awaited(self) -> bool:
        """All was sent, and the peer may have taken it: its final reply tells."""
        return self._sent and None in self.results

    def break_off(self, text: str) -> list[Result]:
        """The results when the final reply is not waited for any longer."""
        self._phase = "content"
        self._lose(text)
        return [result for result in self.results if result is not None]

    @property
    def is_begun(self) -> bool:
        """Its envelope was sent, and nothing read of the replies."""
        return bool(self._envelope)

    @property
    def _most_recipients(self) -> int:
        return self._machine.extensions.limit("RCPTMAX") or max(1, len(self._paths))

    def _take_envelope(self) -> bytes:
        """MAIL to DATA, if all of it may be sent before the message in front is answered; else nothing."""
        extensions = self._machine.extensions
        fits = 0 < len(self._paths) <= self._most_recipients
        if not fits or "PIPELINING" not in extensions or "CHUNKING" in extensions:
            return b""
        self._envelope = b"".join([*self._commands(self._paths), self._machine.data()])
        return self._envelope

    def _commands(self, paths: dict[int, Path]) -> list[bytes]:
        machine = self._machine
        commands = [machine.mail_from(self._reverse_path(), self._mail_parameters())]
        commands += [machine.rcpt_to(path, self._rcpt_parameters(n)) for n, path in paths.items()]
        return commands

    def _parse_paths(self) -> dict[int, Path]:
        paths: dict[int, Path] = {}
        for n, recipient in enumerate(self._recipients):
            try:
                paths[n] = parse_mailbox(recipient.address)
            except PathFault as fault:
                self.results[n] = Result(
                    Outcome.FAILED, "rcpt", "5.1.3", reply_text(fault.reply), 0, self._host
                )
        return paths

    def _lose(self, text: str) -> None:
        """The connection is gone: whoever has no result is tried again (RFC 5321 4.5.4.1)."""
        if self._sent:  # perhaps with its envelope, and no reply to that came
            self._phase = "content"
        if self._phase == "content":
            text += "; the message was sent whole and may have been delivered"
        lost = Result(Outcome.DEFERRED, self._phase, "4.4.2", text, 0, self._host)
        self.results = [lost if result is None else result for result in self.results]

    async def _transact(self, paths: dict[int, Path]) -> list[int]:
        """One transaction; the recipients that the peer wants in a further one."""
        wire, machine = self._wire, self._machine
        self._phase = "mail"
        self._sent = False
        if "PIPELINING" not in machine.extensions:
            return await self._transact_slowly(paths)
        whole = self._body.whole
        one_shot = "CHUNKING" in machine.extensions and whole is not None and len(whole) <= ONE_SHOT
        if self._envelope:
            wire.note(self._envelope)
            self._envelope = b""
        elif one_shot:
            assert whole is not None
            envelope = b"".join(self._commands(paths))
            wire.send(envelope + machine.bdat(whole, True), envelope + b"BDAT %d LAST" % len(whole))
            self._sent = True
        elif self._by_chunks:
            wire.send(b"".join(self._commands(paths)))
        else:
            wire.send(b"".join([*self._commands(paths), machine.data()]))
        mail = (await wire.reply()).reply
        self.answered |= mail.code != 421
        accepted, again = await self._read_rcpt(paths, mail)
        if again:
            self._ahead = None  # they come first
        if one_shot:
            self._phase = "content"
            await self._finish(accepted)
        elif self._by_chunks:
            await self._send_chunks(accepted)
        else:
            await self._send_data(accepted)
        return again

    @property
    def _by_chunks(self) -> bool:
        """DATA cannot carry lines without end or bare CR and LF."""
        return self._body.kind == "BINARYMIME" and "CHUNKING" in self._machine.extensions

    async def _transact_slowly(self, paths: dict[int, Path]) -> list[int]:
        """A command at a time, for peers without PIPELINING."""
        wire, machine = self._wire, self._machine
        wire.send(machine.mail_from(self._reverse_path(), self._mail_parameters()))
        mail = (await wire.reply()).reply
        self.answered |= mail.code != 421
        accepted: list[int] = []
        again: list[int] = []
        if not mail.is_success:
            self._set(paths, mail, "mail")
            return []
        for n, path in paths.items():
            wire.send(machine.rcpt_to(path, self._rcpt_parameters(n)))
            self._phase = "rcpt"
            self._take_rcpt(n, (await wire.reply()).reply, accepted, again)
        if not accepted:
            await self._reset()
        elif self._by_chunks:
            await self._send_chunks(accepted)
        else:
            wire.send(machine.data())
            await self._send_data(accepted)
        return again

    def _reverse_path(self) -> Path:
        if not self._message.reverse_path:
            return NULL_PATH
        try:
            return parse_mailbox(self._message.reverse_path, True)
        except PathFault:
            return NULL_PATH

    def _mail_parameters(self) -> MailParameters:
        message = self._message
        return MailParameters(
            size=self._body.size,
            body=self._body.kind,
            smtputf8=message.smtputf8 or _in_envelope(message, self._recipients),
            ret=message.ret,
            envid=message.envid,
            requiretls=message.requiretls,
        )

    def _rcpt_parameters(self, n: int) -> RcptParameters:
        recipient = self._recipients[n]
        if not recipient.notify and not recipient.orcpt:
            return NO_RCPT_PARAMETERS
        words = tuple(notify_to_text(recipient.notify).split(",")) if recipient.notify else ()
        return RcptParameters(words, recipient.orcpt)

    # Replies

    async def _read_rcpt(self, paths: dict[int, Path], mail: Reply) -> tuple[list[int], list[int]]:
        accepted: list[int] = []
        again: list[int] = []
        if not mail.is_success:
            self._set(paths, mail, "mail")
        for n in paths:
            if self._wire.is_lost:
                self._sent = False  # after its 421 the peer takes nothing
                raise Lost("the peer closed the connection")
            self._phase = "rcpt"
            reply = (await self._wire.reply()).reply
            if mail.is_success:
                self._take_rcpt(n, reply, accepted, again)
        return accepted, again

    def _take_rcpt(self, n: int, reply: Reply, accepted: list[int], again: list[int]) -> None:
        if reply.is_success:
            accepted.append(n)
        elif reply.code in (452, 552) and accepted and reply.enhanced in ("", "4.5.3", "5.5.3"):
            again.append(n)  # too many at once: in a transaction of their own (RFC 5321 4.5.3.1.10)
        else:
            self._set((n,), reply, "rcpt")

    def _set(self, numbers: Sequence[int] | dict[int, Path], reply: Reply, phase: str) -> None:
        result = self.result_of(reply, phase)
        for n in numbers:
            if self.results[n] is None:
                self.results[n] = result

    def result_of(self, reply: Reply, phase: str) -> Result:
        if reply.is_success and phase == "content":
            outcome = Outcome.SENT if "DSN" in self._machine.extensions else Outcome.RELAYED
            outcome = Outcome.DELIVERED if self._machine.lmtp else outcome
        else:
            outcome = Outcome.FAILED if reply.code >= 500 else Outcome.DEFERRED
        first = {Outcome.FAILED: "5", Outcome.DEFERRED: "4"}.get(outcome, "2")
        status = reply.enhanced if reply.enhanced[:1] == first else f"{first}.0.0"
        return Result(outcome, phase, status, reply_text(reply), reply.code, self._host)

    # The content

    async def _send_data(self, accepted: list[int]) -> None:
        wire, machine = self._wire, self._machine
        self._phase = "data"
        reply = (await wire.reply(DATA_TIMEOUT)).reply
        if reply.code != 354:
            self._set(accepted, reply, "data")
            await self._reset()
            return
        whole = self._body.whole
        if accepted and whole is not None and len(whole) <= ONE_SHOT:
            octets = machine.content(whole) + machine.end_content()
            if self._ahead is not None:
                octets += self._ahead._take_envelope()
            wire.send(octets, b".")
        else:
            if accepted:
                for start in range(0, self._body.size, CHUNK):
                    wire.stream.write(machine.content(await self._body.piece(start)))
                    await wire.drain()
            # With nobody accepted the promise of DATA is kept with nothing (RFC 2920 3.1).
            wire.send(machine.end_content(), b".")
        self._phase = "content"
        await self._finish(accepted)

    async def _send_chunks(self, accepted: list[int]) -> None:
        wire, machine = self._wire, self._machine
        if not accepted:
            await self._reset()
            return
        self._phase = "data"
        held: bytes | None = None
        ahead = 0
        for start in range(0, self._body.size, CHUNK):
            piece = await self._body.piece(start)
            if held is not None:
                wire.send(machine.bdat(held, False), b"BDAT %d" % len(held))
                await wire.drain()
                ahead += 1
            held = piece
            if ahead >= _CHUNKS_AHEAD and not await self._chunk_taken(accepted):
                return
        wire.send(machine.bdat(held or b"", True), b"BDAT %d LAST" % len(held or b""))
        for _ in range(machine.replies_due - 1):
            if not await self._chunk_taken(accepted):
                return
        self._phase = "content"
        await self._finish(accepted)

    async def _chunk_taken(self, accepted: list[int]) -> bool:
        reply = (await self._wire.reply(FINAL_TIMEOUT)).reply
        if not reply.is_success:
            self._set(accepted, reply, "data")
            self._wire.abort()
        return reply.is_success

    async def _finish(self, accepted: list[int]) -> None:
        """The final reply; in LMTP one for each recipient that was accepted (RFC 2033 4.2)."""
        self._sent = bool(accepted)
        if not self._machine.lmtp or not accepted:
            reply = (await self._wire.reply(FINAL_TIMEOUT)).reply
            self._set(accepted, reply, "content")
            if not accepted:
                await self._reset()
            return
        for n in accepted:
            self._set((n,), (await self._wire.reply(FINAL_TIMEOUT)).reply, "content")

    async def _reset(self) -> None:
        if not self._wire.is_lost:
            self._wire.send(self._machine.rset())
            await self._wire.reply(COMMAND_TIMEOUT)
