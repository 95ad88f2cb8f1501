"""One message on its way in, from MAIL to the end of its data."""

from __future__ import annotations

import logging

from mailwright.smtp import replies
from mailwright.smtp.api import Envelope, IncomingMessage, Mailroom, Recipient, SessionInfo
from mailwright.smtp.replies import Reply
from mailwright.store.errors import StoreFull, TemporaryFailure

log = logging.getLogger("mailwright.smtp")


class Transaction:
    """Collects the envelope and streams the message; after a `fault` it takes octets and forgets them."""

    __slots__ = ("_limit", "_mailroom", "_message", "envelope", "fault", "refused", "size")

    def __init__(self, mailroom: Mailroom, envelope: Envelope, limit: int) -> None:
        self.envelope = envelope
        self.fault: Reply | None = None
        self.refused = False  # at least one recipient was
        self.size = 0  # octets that came
        self._mailroom = mailroom
        self._limit = limit
        self._message: IncomingMessage | None = None

    def add_recipient(self, recipient: Recipient) -> None:
        reverse_path, recipients = self.envelope[:2]
        self.envelope = Envelope._make((reverse_path, (*recipients, recipient), *self.envelope[2:]))

    def open(self) -> Reply | None:
        """Make ready for octets; a reply tells why it cannot be."""
        if self._message is None:
            try:
                self._message = self._mailroom.open_message()
            except Exception as error:
                return failure_reply(error)
        return None

    async def write(self, data: bytes) -> None:
        """Add octets, or count them only once the message has failed."""
        self.size += len(data)
        if self.fault is not None or self._message is None:
            return
        if self.size > self._limit:
            self.fail(replies.message_too_big(self._limit))
            return
        try:
            await self._message.write(data)
        except Exception as error:
            self.fail(failure_reply(error))

    def check(self, bare: bool) -> Reply | None:
        """What is wrong with the message so far."""
        return self.fault or (replies.BARE_LINE_END if bare else None)

    def fail(self, fault: Reply) -> None:
        """Refuse the message at its end, and free what it holds."""
        self.fault = fault
        self.close()

    async def finish(self, info: SessionInfo, bare: bool) -> Reply | list[Reply]:
        """The end of the message: hand it over, and say what became of it."""
        fault = self.check(bare) or (replies.LOCAL_ERROR if self._message is None else None)
        try:
            if fault is None and self._message is not None:
                return await self._mailroom.accept(info, self.envelope, self._message)
        except Exception as error:
            fault = failure_reply(error)
        finally:
            self.close()
        refusal = fault or replies.LOCAL_ERROR
        self._mailroom.note_refusal(info, self.envelope, refusal)
        return refusal

    def close(self) -> None:
        """Free what is held. Closing twice does nothing."""
        if self._message is not None:
            self._message.close()
            self._message = None


def failure_reply(error: Exception) -> Reply:
    """452 or 451 for what went wrong on our side, and a line in the log."""
    if isinstance(error, StoreFull):
        log.error("the store is full: %s", error)
        return replies.STORAGE_FULL
    if isinstance(error, TemporaryFailure):
        log.warning("a message is put off: %s", error)
        return replies.STORE_BUSY
    log.error("a message could not be taken", exc_info=error)
    return replies.LOCAL_ERROR
