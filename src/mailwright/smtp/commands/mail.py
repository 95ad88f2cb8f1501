"""MAIL begins a message (RFC 5321 4.1.1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.smtp import replies
from mailwright.smtp.api import Answer, Envelope
from mailwright.smtp.commands.row import TLS
from mailwright.smtp.replies import Reply
from mailwright.smtp.syntax.commands import Mail
from mailwright.smtp.transaction import Transaction

if TYPE_CHECKING:
    from mailwright.smtp.session import Session


def run(session: Session, command: Mail) -> Answer:
    path, parameters = command
    policy = session.policy
    if parameters.requiretls and not (policy.requiretls and session.state & TLS):
        return replies.NO_REQUIRETLS
    if parameters.size > policy.limits.message_size:
        too_big = replies.message_too_big(policy.limits.message_size)
        session.mailroom.note_refusal(session.info, Envelope(path, size=parameters.size), too_big)
        return too_big

    def begin(refusal: Reply | None) -> Reply:
        if refusal is not None:
            session.log_refusal("MAIL", path, refusal)
            return refusal
        envelope = Envelope(
            path,
            (),
            parameters.body,
            parameters.smtputf8,
            parameters.ret,
            parameters.envid,
            parameters.requiretls,
            parameters.size,
            parameters.auth,
        )
        session.begin_transaction(Transaction(session.mailroom, envelope, policy.limits.message_size))
        return replies.SENDER_OK

    return session.ask(lambda: session.mailroom.check_sender(session.info, path, parameters), begin)
