"""Makes the reports that results call for and hands them on, within the transaction of the results."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from mailwright.message import builder
from mailwright.message.address import Address
from mailwright.message.date import format_date
from mailwright.queue import dsn, trace, usage
from mailwright.queue.intake import enqueue
from mailwright.queue.model import Notice, Rules
from mailwright.queue.values import NewMessage, NewRecipient
from mailwright.store.db.api import Transaction
from mailwright.store.errors import StoreError
from mailwright.store.notify.api import QUEUE

# Keeps a message in the mailboxes behind a local address; who is to get it elsewhere: itself, when it is not local.
# `(tx, address, content, now)`.
KeepLocal = Callable[[Transaction, str, bytes, float], tuple[str, ...]]
Sign = Callable[[bytes], bytes]
# Who is told of a message with this reverse-path. `(tx, reverse_path, now)`.
WayBack = Callable[[Transaction, str, float], str]

LARGEST: Final = 256 * 1024  # octets; what is kept without an upload


class Reports:
    """A `model.Reporter`. Reports to local senders go to their mailbox, others to the queue."""

    def __init__(
        self,
        rules: Rules,
        origin: dsn.Origin,
        keep_local: KeepLocal | None = None,
        sign: Sign | None = None,
        way_back: WayBack | None = None,
    ) -> None:
        self._rules = rules
        self._origin = origin
        self._keep_local = keep_local
        self._sign = sign
        self._way_back = way_back

    def __call__(self, tx: Transaction, notice: Notice, now: float) -> None:
        message, number = notice.message, notice.message.id
        if self._way_back is not None and message.reverse_path:
            message = message._replace(reverse_path=self._way_back(tx, message.reverse_path, now))
        for report in dsn.plan_reports(message, notice.results):
            message_id = f"{number}.{secrets.token_hex(6)}@{self._origin.hostname}"
            content = dsn.build(
                report,
                self._original(tx, report),
                self._origin,
                now,
                message_id=message_id,
                boundary=f"=_{secrets.token_hex(12)}",
            )
            self.send(
                tx,
                message.reverse_path,
                content,
                now,
                message_id,
                utf8=dsn.is_global(report),
                requiretls=message.requiretls,  # RFC 8689 5
            )
            if number:  # what was never in the queue has no record there
                trace.add(tx, number, now, "report", {"report": report.action, "to": message.reverse_path})

    def _original(self, tx: Transaction, report: dsn.Report) -> bytes:
        message = report.message
        stop = None if dsn.returns_content(report) else min(message.size, dsn.MAX_HEADER)
        if message.content is not None:
            return message.content[:stop]
        try:
            return b"".join(tx.blobs.read(tx, message.blob, 0, stop))
        except StoreError:
            return b""  # a damaged message is no reason to say nothing

    def send(
        self,
        tx: Transaction,
        to: str,
        content: bytes,
        now: float,
        message_id: str,
        *,
        utf8: bool = False,
        requiretls: bool = False,
    ) -> None:
        """Send a message of the system itself, with the null reverse-path. `content` up to LARGEST octets."""
        elsewhere = (to,) if self._keep_local is None else self._keep_local(tx, to, content, now)
        if not elsewhere:
            return
        if self._sign is not None:
            content = self._sign(content)
        blob = tx.blobs.keep(tx, tx.blobs.prepare((content,), len(content), _no_upload), int(now))
        message = NewMessage(
            blob=blob,
            size=len(content),
            reverse_path="",
            recipients=tuple(map(NewRecipient, elsewhere)),
            received_at=now,
            message_id=message_id,
            body="7BIT" if content.isascii() else "8BITMIME",
            smtputf8=utf8,
            requiretls=requiretls,
            origin="from the mail system itself",
        )
        enqueue(tx, message, now, self._rules)
        tx.announce(QUEUE, 0)  # who makes a report need not be who sends it

    def tell_stops(self, tx: Transaction, now: float) -> int:
        """Tell the postmaster of accounts whose mail is held since the last time; how many."""
        stops = usage.take_untold_stops(tx)
        for stop in stops:
            row = tx.one("SELECT address FROM accounts WHERE id = ?", stop.account)
            address = str(row[0]) if row is not None else f"number {stop.account}"
            message_id = f"{secrets.token_hex(8)}@{self._origin.hostname}"
            content = builder.build(
                [
                    builder.address_header(
                        "From", [Address("Mailwright", "postmaster", self._origin.hostname)]
                    ),
                    builder.header("To", self._origin.postmaster),
                    builder.header("Subject", f"Outbound mail of {address} is held"),
                    builder.header("Date", format_date(int(now))),
                    builder.header("Message-ID", f"<{message_id}>"),
                    builder.header("Auto-Submitted", "auto-generated"),
                ],
                builder.text_part(_STOPPED.format(address=address, reason=stop.reason)),
            )
            self.send(tx, self._origin.postmaster, content, now, message_id)
        return len(stops)


_STOPPED: Final = """\
The account {address} sends in a way that looks like abuse:

    {reason}

Its mail for other servers is held since then; nothing is lost, and mail for it still arrives.

If somebody else has its password, set a new one, and delete what is held:
    mailwright account password {address}
    mailwright queue delete --sender {address}

If all is well, let it send again:
    mailwright queue release --sender {address}
"""


def _no_upload(*_: object) -> object:
    raise AssertionError("a report is small")
