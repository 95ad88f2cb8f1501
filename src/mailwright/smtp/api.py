"""What an SMTP session tells the house, and what it asks of it."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import NamedTuple, Protocol

from mailwright.base.limits import Limits
from mailwright.net.api import Peer, TLSInfo
from mailwright.sasl.api import Account
from mailwright.sasl.server import MECHANISMS
from mailwright.smtp.replies import Reply
from mailwright.smtp.syntax.parameters import MailParameters, RcptParameters
from mailwright.smtp.syntax.path import Path


class Role(Enum):
    """What a listener is for."""

    RELAY = "relay"  # port 25: mail for us from anybody; nobody logs in
    SUBMISSION = "submission"  # ports 587 and 465: mail from our users, who must log in (RFC 6409)
    LMTP = "lmtp"  # mail for us from a server in front (RFC 2033)


class Policy(NamedTuple):
    """How a listener's sessions behave."""

    role: Role
    hostname: str
    limits: Limits = Limits()
    tls_context: Callable[[], ssl.SSLContext] | None = None  # asked at each STARTTLS; None: not offered
    allow_plaintext_auth: bool = False  # log in without TLS
    mechanisms: tuple[str, ...] = MECHANISMS
    server_secret: bytes = b""  # for the SCRAM challenges of unknown users; must stay the same
    accept_bare_lf: bool = False  # turn a bare LF in a message into CRLF instead of refusing the message
    requiretls: bool = False  # offer REQUIRETLS under TLS; only where the queue keeps the promise (RFC 8689)
    error_delay: float = 1.0  # seconds before each reply to an error, from half of `limits.smtp_errors` on
    auth_delay: float = 2.0  # seconds before the reply to a failed login


class SessionInfo(NamedTuple):
    """Who speaks, at the moment of asking."""

    id: str  # for the log and the trace header; short, unique in this process
    role: Role
    peer: Peer
    hello: str  # as the client sent it, not verified, but safe in a header: odd characters are `?`; '' before EHLO
    extended: bool  # EHLO or LHLO rather than HELO
    tls: TLSInfo | None
    account: Account | None  # who logged in


class Recipient(NamedTuple):
    """A recipient that was accepted; the same path may come twice."""

    path: Path
    notify: tuple[str, ...] = ()  # NEVER, or some of SUCCESS FAILURE DELAY; (): not told (RFC 3461 4.1)
    orcpt: str = ""  # `type;address`, decoded


class Envelope(NamedTuple):
    """What came with MAIL and RCPT; `Mailroom.check_recipient` sees the recipients accepted so far."""

    reverse_path: Path
    recipients: tuple[Recipient, ...] = ()
    body: str = "7BIT"  # 7BIT, 8BITMIME or BINARYMIME
    smtputf8: bool = False
    ret: str = ""  # FULL, HDRS or not told
    envid: str = ""
    requiretls: bool = False
    size: int = 0  # octets as announced; 0: not told
    auth: str | None = None  # AUTH= of MAIL (RFC 4954 5); '' is `<>`


class IncomingMessage(Protocol):
    """A message on its way in, in memory or in a file."""

    size: int  # octets written

    async def write(self, data: bytes) -> None:
        """Add octets. Raises StoreFull (answered 452) or another error (451); the message is then dropped."""
        ...

    def close(self) -> None:
        """Free what is held, after `accept` or without it; closing twice does nothing."""
        ...


Answer = Reply | Awaitable[Reply | None] | None  # an answer, or what to wait for when it is not known at once


class Mailroom(Protocol):
    """Where messages go. StoreFull from any of these is answered 452, any other exception 451, and logged."""

    def check_sender(self, info: SessionInfo, reverse_path: Path, parameters: MailParameters) -> Answer:
        """A refusal of MAIL; None: fine."""
        ...

    def check_recipient(
        self, info: SessionInfo, envelope: Envelope, forward_path: Path, parameters: RcptParameters
    ) -> Answer:
        """A refusal of RCPT; None: fine."""
        ...

    def note_refusal(self, info: SessionInfo, envelope: Envelope, refusal: Reply) -> None:
        """The session refused a message by itself: keep that in the record. It does not wait and raises nothing."""
        ...

    def open_message(self) -> IncomingMessage:
        """Called at DATA, or at the first BDAT."""
        ...

    async def accept(
        self, info: SessionInfo, envelope: Envelope, message: IncomingMessage
    ) -> Reply | list[Reply]:
        """Take the message; it is durable when this returns a 2xx reply.

        A list has one reply for each recipient, in their order; SMTP is told its first failure, or else its first, so
        on the roles that speak it nothing is kept when one of them is a failure.
        """
        ...


def with_protocol(info: SessionInfo, smtputf8: bool = False) -> str:
    """The `with` keyword of the trace header (RFC 3848, RFC 6531 4.3): ESMTPSA, UTF8SMTP, LMTP..."""
    if info.role is not Role.LMTP and not info.extended:
        return "SMTP"
    base = "LMTP" if info.role is Role.LMTP else "SMTP"
    prefix = "UTF8" if smtputf8 else "E" if base == "SMTP" else ""
    return prefix + base + ("S" if info.tls is not None else "") + ("A" if info.account is not None else "")
