"""A small house for sessions to work in: a stream in memory, a mailroom, a directory."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable

from mailwright.base.clock import ManualClock
from mailwright.net.api import Peer, TLSInfo
from mailwright.sasl.api import Account, Denied, Ended
from mailwright.sasl.secret import ScramSecret
from mailwright.smtp import replies
from mailwright.smtp.api import Envelope, IncomingMessage, Role, SessionInfo
from mailwright.smtp.replies import Reply
from mailwright.smtp.syntax.parameters import MailParameters, RcptParameters
from mailwright.smtp.syntax.path import Path
from mailwright.store.errors import StoreBusy, StoreFull

END_POINT = b"\x42" * 32
TLS_INFO = TLSInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384", "mx.example.org", END_POINT)
ALICE = Account(1, "alice@example.org")
_SECRET = ScramSecret.from_password("secret", b"0123456789abcdef", 4096)


class MemoryStream:
    """`net.api.Stream` over a script: each read takes the next piece. Records who said what, in order.

    A piece is octets, or a function that is called when it is read (to raise, to let time pass, to wake).
    Pieces come in blocks; what stays of a block is dropped by `start_tls`, as the real stream does.
    """

    def __init__(
        self, blocks: Iterable[list[bytes | Callable[[], None]]], tls: TLSInfo | None = None
    ) -> None:
        self.peer = Peer("192.0.2.7", 40000)
        self.local = Peer("192.0.2.1", 25)
        self.tls = tls
        self.blocks = [list(block) for block in blocks]
        self.transcript: list[tuple[str, bytes]] = []
        self.closed = False
        self.woken = False

    async def read(self, timeout: float) -> bytes | None:
        assert timeout > 0
        while True:
            if self.woken:
                self.woken = False
                return None
            while self.blocks and not self.blocks[0]:
                del self.blocks[0]
            if not self.blocks:
                return b""
            piece = self.blocks[0].pop(0)
            if isinstance(piece, bytes):
                self._record("C", piece)
                return piece
            piece()

    def write(self, data: bytes) -> None:
        assert not self.closed
        self._record("S", data)

    async def drain(self, timeout: float = 60.0) -> None:
        assert not self.closed

    async def start_tls(self, context: ssl.SSLContext, timeout: float = 30.0) -> None:
        del self.blocks[0][:]
        self.tls = TLS_INFO
        self.transcript.append(("T", b""))

    def wake(self) -> None:
        self.woken = True

    async def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    @property
    def said(self) -> bytes:
        """All that the server said."""
        return b"".join(data for who, data in self.transcript if who == "S")

    def _record(self, who: str, data: bytes) -> None:
        if self.transcript and self.transcript[-1][0] == who:
            data = self.transcript.pop()[1] + data
        self.transcript.append((who, data))


class Message:
    """Keeps the octets; one that holds `fill the disk` meets a full one."""

    def __init__(self) -> None:
        self.size = 0
        self.data = b""
        self.closed = False

    async def write(self, data: bytes) -> None:
        self.data += data
        self.size += len(data)
        if b"fill the disk" in self.data:
            raise StoreFull("no room")

    def close(self) -> None:
        self.closed = True


class House:
    """Serves example.org, with alice, bob, and some who cannot take mail. Everything it kept is in `kept`."""

    def __init__(self) -> None:
        self.kept: list[tuple[SessionInfo, Envelope, bytes]] = []
        self.opened: list[Message] = []
        self.refused: list[tuple[Envelope, Reply]] = []
        self.clock = ManualClock()
        self.secret = _SECRET
        self.failures: list[str] = []

    async def check_sender(
        self, info: SessionInfo, reverse_path: Path, parameters: MailParameters
    ) -> Reply | None:
        if (
            info.role is Role.SUBMISSION
            and info.account is not None
            and str(reverse_path) != info.account.address
        ):
            return replies.NOT_YOUR_ADDRESS
        if reverse_path.local == "crash":
            raise RuntimeError("a fault of ours")
        if reverse_path.local == "unwanted":
            return Reply(421, "4.7.1", ("Come back later",))
        return None

    async def check_recipient(
        self, info: SessionInfo, envelope: Envelope, forward_path: Path, parameters: RcptParameters
    ) -> Reply | None:
        if forward_path.domain not in ("", "example.org", "xn--bcher-kva.example"):
            return None if info.account is not None else replies.RELAY_DENIED
        if forward_path.local == "busy":
            raise StoreBusy("busy")
        return {
            "nobody": replies.NO_SUCH_USER,
            "left": replies.ACCOUNT_DISABLED,
            "full": replies.OVER_QUOTA,
        }.get(forward_path.local)

    def note_refusal(self, info: SessionInfo, envelope: Envelope, refusal: Reply) -> None:
        self.refused.append((envelope, refusal))

    def open_message(self) -> Message:
        self.opened.append(Message())
        return self.opened[-1]

    async def accept(
        self, info: SessionInfo, envelope: Envelope, message: IncomingMessage
    ) -> Reply | list[Reply]:
        assert isinstance(message, Message)
        assert not message.closed
        if b"crash now" in message.data:
            raise RuntimeError("a fault of ours")
        self.kept.append((info, envelope, message.data))
        if info.role is not Role.LMTP:
            return replies.accepted(str(len(self.kept)))
        return [
            replies.OVER_QUOTA_FOR_GOOD
            if recipient.path.local == "brimful"
            else replies.accepted(str(number))
            for number, recipient in enumerate(envelope.recipients, 1)
        ]

    async def verify_password(self, username: str, password: str, peer: str) -> Account | Denied:
        if username == "locked":
            return Denied(True, "Too many failures; try again in 15 minutes")
        if username == "crash":
            raise OSError("the database is gone")
        return (
            ALICE if (username, password) == ("alice", "secret") else Denied(False, "Wrong name or password")
        )

    async def scram_secret(self, username: str, peer: str) -> ScramSecret | Denied | None:
        return self.secret if username == "alice" else None

    async def scram_succeeded(self, username: str, peer: str) -> Account | Denied:
        return ALICE

    async def scram_failed(self, username: str, peer: str) -> None:
        self.failures.append(username)

    def watch(self, account: Account, ended: Callable[[Ended], None]) -> Callable[[], None]:
        return lambda: None
