"""STARTTLS (RFC 3207)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mailwright.smtp import replies
from mailwright.smtp.replies import Reply
from mailwright.smtp.syntax.commands import StartTls

if TYPE_CHECKING:
    from mailwright.smtp.session import Session

log = logging.getLogger("mailwright.smtp")


async def run(session: Session, command: StartTls) -> Reply | None:
    make_context = session.policy.tls_context
    assert make_context is not None  # the table asked for TLS_OFFERED
    try:
        context = make_context()
    except Exception:
        log.exception("%s: no TLS context", session.info.id)
        return replies.TLS_FAILED
    session.end_transaction()
    session.write(replies.READY_FOR_TLS)
    session.send_written()  # no waiting from here on: the client's hello must not come before `start_tls`
    session.connection.reset()  # RFC 3207 4.2: nothing that was said in the clear counts
    try:
        await session.stream.start_tls(context)
    except (TimeoutError, ConnectionError) as error:
        log.info("%s: TLS failed: %s", session.info.id, error)
        raise ConnectionResetError("TLS failed") from error
    session.tls_started()
    return None
