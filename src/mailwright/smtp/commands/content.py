"""DATA and BDAT bring the message itself (RFC 5321 4.1.1.4, RFC 3030)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailwright.smtp import replies
from mailwright.smtp.api import Role
from mailwright.smtp.commands.row import CHUNKS
from mailwright.smtp.connection import DataChunk, DataEnd
from mailwright.smtp.replies import Reply
from mailwright.smtp.syntax.commands import Bdat, Data
from mailwright.smtp.transaction import Transaction

if TYPE_CHECKING:
    from mailwright.smtp.session import Session


async def run_data(session: Session, command: Data) -> Reply | None:
    transaction = session.transaction
    assert transaction is not None  # the table asked for MAIL
    if transaction.envelope.body == "BINARYMIME":
        return replies.BINARY_NEEDS_BDAT
    refusal = _no_recipients(transaction) or transaction.open()
    if refusal is not None:
        return refusal
    session.write(replies.START_DATA)
    session.connection.begin_data()
    end = await receive(session, transaction)
    await _finish(session, transaction, end)
    return None


async def run_bdat(session: Session, command: Bdat) -> Reply | None:
    transaction = session.transaction
    assert transaction is not None  # the table asked for MAIL
    is_new = transaction.fault is None
    refusal = _no_recipients(transaction) or transaction.fault or transaction.open()
    if refusal is not None:
        await receive(session, None)
    else:
        session.state |= CHUNKS
        end = await receive(session, transaction)
        if end.last:
            await _finish(session, transaction, end)
            return None
        refusal = transaction.check(end.bare)
    if refusal is not None:
        # RFC 3030 2: what follows of this message is refused likewise, until RSET or its last chunk.
        transaction.fail(refusal)
        if is_new and transaction.envelope.recipients:  # many clients send no more of it
            session.mailroom.note_refusal(session.info, transaction.envelope, refusal)
            session.message_done(refusal)
        if command.last:
            if session.policy.role is Role.LMTP:  # RFC 2033 4.2: one reply for each recipient, refused or not
                for _ in transaction.envelope.recipients[1:]:
                    session.write(refusal)
            session.end_transaction()
        return refusal
    return replies.chunk_accepted(command.size)


async def receive(session: Session, transaction: Transaction | None) -> DataEnd:
    """Take what DATA or one BDAT brings; without a transaction, throw it away."""
    session.begin_content()
    while True:
        event = session.connection.next_event()
        if event is None:
            await session.more_content()
        elif isinstance(event, DataChunk):
            if transaction is not None:
                await transaction.write(event.data)
        elif isinstance(event, DataEnd):
            return event
        else:
            raise ConnectionResetError("closed in the middle of a message")


async def refuse_chunk(session: Session, refusal: Reply) -> Reply:
    """Refuse a BDAT, whose octets come all the same."""
    await receive(session, None)
    return refusal


def _no_recipients(transaction: Transaction) -> Reply | None:
    if transaction.envelope.recipients:
        return None
    return replies.NO_VALID_RECIPIENTS if transaction.refused else replies.NEED_RCPT


async def _finish(session: Session, transaction: Transaction, end: DataEnd) -> None:
    recipients = transaction.envelope.recipients
    try:
        found = await transaction.finish(session.info, end.bare)
    finally:
        session.end_transaction()
    if session.policy.role is not Role.LMTP:
        reply = found if isinstance(found, Reply) else _one_of(found)
        session.message_done(reply)
        session.write(reply)
        return
    # RFC 2033 4.2: one reply for each RCPT that was accepted, in their order.
    each = [found] * len(recipients) if isinstance(found, Reply) else found
    for number in range(len(recipients)):
        reply = each[number] if number < len(each) else replies.LOCAL_ERROR
        session.message_done(reply)
        session.write(reply)


def _one_of(found: list[Reply]) -> Reply:
    """SMTP has one reply for all: the first failure."""
    if not found:
        return replies.LOCAL_ERROR
    return next((reply for reply in found if not reply.is_success), found[0])
