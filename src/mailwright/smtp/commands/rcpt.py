"""RCPT adds a recipient (RFC 5321 4.1.1.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.smtp import replies
from mailwright.smtp.api import Recipient
from mailwright.smtp.replies import Reply
from mailwright.smtp.syntax.commands import Rcpt

if TYPE_CHECKING:
    from mailwright.smtp.session import Session


async def run(session: Session, command: Rcpt) -> Reply | None:
    path, parameters = command
    transaction = session.transaction
    assert transaction is not None  # the table asked for MAIL
    envelope = transaction.envelope
    if len(envelope.recipients) >= session.policy.limits.recipients:
        return replies.TOO_MANY_RECIPIENTS  # RFC 5321 4.5.3.1.10
    if path.needs_utf8 and not envelope.smtputf8:
        refusal: Reply | None = replies.UTF8_RECIPIENT
    else:
        refusal = await session.ask(
            session.mailroom.check_recipient(session.info, envelope, path, parameters)
        )
    if refusal is not None:
        transaction.refused = True
        session.log_refusal("RCPT", path, refusal)
        return refusal
    transaction.add_recipient(Recipient(path, parameters.notify, parameters.orcpt))
    return replies.RECIPIENT_OK
