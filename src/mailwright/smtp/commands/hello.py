"""EHLO, HELO and LHLO, and the list of extensions (RFC 5321 4.1.1.1, RFC 2033 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mailwright.sasl.server import offered_mechanisms
from mailwright.smtp import replies
from mailwright.smtp.api import Role
from mailwright.smtp.commands.row import AUTHENTICATED, CONFIDENTIAL, HELLO, LOGIN_OFFERED, TLS, TLS_OFFERED
from mailwright.smtp.replies import Reply
from mailwright.smtp.syntax.commands import Hello

if TYPE_CHECKING:
    from mailwright.smtp.session import Session


MOST_TOLD: Final = 999_999  # RFC 9422 4.1: a limit has six digits at most; a higher one is as good as none


def run(session: Session, command: Hello) -> Reply:
    lmtp = session.policy.role is Role.LMTP
    if (command.verb == "LHLO") != lmtp:
        return replies.USE_LHLO if lmtp else replies.NO_LHLO
    session.end_transaction()
    extended = command.verb != "HELO"
    session.info = session.info._replace(hello=command.name, extended=extended)
    session.state |= HELLO
    return replies.hello(session.policy.hostname, command.name, extensions(session) if extended else ())


def extensions(session: Session) -> tuple[str, ...]:
    """What is offered right now."""
    policy, state = session.policy, session.state
    limits = policy.limits
    offered = [
        "PIPELINING",
        f"SIZE {limits.message_size}",
        "8BITMIME",
        "SMTPUTF8",
        "ENHANCEDSTATUSCODES",
        "CHUNKING",
        "BINARYMIME",
        "DSN",
    ]
    counts = (("MAILMAX", limits.smtp_transactions), ("RCPTMAX", limits.recipients))
    told = [f"{name}={count}" for name, count in counts if count <= MOST_TOLD]
    if told:
        offered.append(" ".join(["LIMITS", *told]))
    if state & TLS_OFFERED and not state & TLS:
        offered.append("STARTTLS")
    if state & LOGIN_OFFERED and state & CONFIDENTIAL and not state & AUTHENTICATED:
        offered.append("AUTH " + " ".join(mechanisms(session)))
    if policy.requiretls and state & TLS:
        offered.append("REQUIRETLS")
    offered.append("HELP")
    return tuple(offered)


def mechanisms(session: Session) -> tuple[str, ...]:
    """The SASL mechanisms offered on this connection."""
    return offered_mechanisms(session.policy.mechanisms, session.channel_binding is not None)
