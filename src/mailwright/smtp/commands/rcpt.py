"""RCPT adds a recipient (RFC 5321 4.1.1.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.smtp import replies
from mailwright.smtp.api import Answer, Recipient
from mailwright.smtp.replies import Reply
from mailwright.smtp.syntax.commands import Rcpt

if TYPE_CHECKING:
    from mailwright.smtp.session import Session


def run(session: Session, command: Rcpt) -> Answer:
    path, parameters = command
    transaction = session.transaction
    assert transaction is not None  # the table asked for MAIL
    envelope = transaction.envelope
    if len(envelope.recipients) >= session.policy.limits.recipients:
        return replies.TOO_MANY_RECIPIENTS  # RFC 5321 4.5.3.1.10

    def add(refusal: Reply | None) -> Reply:
        if refusal is not None:
            transaction.refused = True
            session.log_refusal("RCPT", path, refusal)
            return refusal
        transaction.add_recipient(Recipient(path, parameters.notify, parameters.orcpt))
        return replies.RECIPIENT_OK

    if path.needs_utf8 and not envelope.smtputf8:
        return add(replies.UTF8_RECIPIENT)
    check = session.mailroom.check_recipient
    return session.ask(lambda: check(session.info, envelope, path, parameters), add)
