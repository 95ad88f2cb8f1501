"""The record of a message at the door: who brought it, each step's verdict, where it went or why it was refused.

What becomes of it in the queue is told by `queue.trace`; `queue` names its records there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple

import msgspec

from mailwright.base.domain import spellings
from mailwright.smtp.api import Envelope, SessionInfo, with_protocol
from mailwright.smtp.replies import Reply
from mailwright.store.db.api import Transaction
from mailwright.store.db.insert import insert

Table = Literal["receptions", "refusals"]

MAX_RECIPIENTS: Final = 200  # of one message that are named
PRUNE_BATCH: Final = 5000  # rows removed in one transaction


class Verdict(NamedTuple):
    """What a check or a hook said: 'pass', 'refuse', 'tag', 'redirect' or 'error'."""

    name: str
    verdict: str
    text: str = ""


class Kept(NamedTuple):
    """An account that the message was for; `failure` says why it could not be kept there."""

    account: str
    mailbox: str = "INBOX"
    failure: str = ""


class Reception(NamedTuple):
    """One message, or one refusal of MAIL, RCPT or a message. `id` is what the 250 told, '' for a refusal."""

    at: float
    peer: str
    protocol: str  # as in the Received field: ESMTPSA, LMTP...
    sender: str
    recipients: tuple[str, ...]
    id: str = ""
    hello: str = ""
    tls: str = ""  # version and cipher
    account: str = ""  # who was logged in
    size: int = 0
    message_id: str = ""
    verdicts: tuple[Verdict, ...] = ()
    reply: str = ""  # for a refusal
    kept: tuple[Kept, ...] = ()
    queue: tuple[int, ...] = ()
    more: int = 0  # recipients that are not named

    def ended(self, kept: Sequence[Kept], queue: Sequence[int]) -> Reception:
        """With what became of it."""
        return self._replace(kept=tuple(kept[:MAX_RECIPIENTS]), queue=tuple(queue))


def describe(
    info: SessionInfo,
    envelope: Envelope,
    at: float,
    verdicts: Sequence[Verdict] = (),
    *,
    mail_id: str = "",
    size: int = 0,
    message_id: str = "",
    refusal: Reply | None = None,
) -> Reception:
    """What is known of a message before it is kept, or once it is refused."""
    recipients = envelope.recipients
    named = [str(recipient.path) for recipient in recipients[:MAX_RECIPIENTS]]
    return Reception(
        at,
        str(info.peer),
        with_protocol(info, envelope.smtputf8),
        str(envelope.reverse_path),
        tuple(named),
        mail_id,
        info.hello,
        f"{info.tls.version} {info.tls.cipher}" if info.tls is not None else "",
        info.account.address if info.account is not None else "",
        size,
        message_id,
        tuple(verdicts),
        f"{refusal.code} {refusal.enhanced} {' '.join(refusal.lines)}" if refusal is not None else "",
        more=max(0, len(recipients) - MAX_RECIPIENTS),
    )


# Store operations


def keep_all(tx: Transaction, receptions: Sequence[Reception], table: Table = "receptions") -> None:
    """Add records: those of accepted messages in the transaction that keeps them."""
    insert(tx, f"{table} (at, data)", [(item.at, _encode(item).decode()) for item in receptions])


def prune(tx: Transaction, table: Table, before: float, most: int, limit: int = PRUNE_BATCH) -> int:
    """Forget the oldest rows: those from `before` that time, and what exceeds `most`. At most `limit`; how many."""
    last = tx.one(f"SELECT id FROM {table} ORDER BY id DESC LIMIT 1")  # noqa: S608
    old: list[int] = []
    for number, at in tx.rows(f"SELECT id, at FROM {table} ORDER BY id LIMIT ?", limit):  # noqa: S608
        if at >= before and (last is None or number > last[0] - most):
            break
        old.append(number)
    if old:
        tx.run(f"DELETE FROM {table} WHERE id <= ?", old[-1])  # noqa: S608
    return len(old)


def find(tx: Transaction, text: str, limit: int, table: Table = "receptions") -> list[Reception]:
    """The records that name an id, a Message-ID, an address or a queue id, the latest first."""
    names = spellings(text.strip().strip("<>"))
    found: list[Reception] = []
    for reception in _read(tx, table, names):
        if len(found) == limit:
            break
        if not _names(reception).isdisjoint(names):
            found.append(reception)
    return found


def find_by_queue(tx: Transaction, number: int) -> Reception | None:
    """How the message with this queue id came in."""
    return next((found for found in _read(tx, "receptions", [str(number)]) if number in found.queue), None)


def _read(tx: Transaction, table: Table, names: Sequence[str]) -> Iterator[Reception]:
    condition = " OR ".join(["lower(data) LIKE ? ESCAPE '\\'"] * len(names))
    sql = f"SELECT data FROM {table} WHERE {condition} ORDER BY id DESC"  # noqa: S608
    return (_decode(data) for (data,) in tx.rows(sql, *map(_pattern, names)))


def _pattern(name: str) -> str:
    escaped = json.dumps(name, ensure_ascii=False)[1:-1]
    escaped = escaped.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _names(reception: Reception) -> set[str]:
    names = (reception.id, reception.message_id, reception.sender, reception.account, *reception.recipients)
    return {name.lower() for name in (*names, *(kept.account for kept in reception.kept)) if name}


_encode: Final = msgspec.json.Encoder().encode


def _decode(data: str) -> Reception:
    """A record out of its row, a JSON array in the order of the fields."""
    row: dict[str, Any] = dict(zip(Reception._fields, msgspec.json.decode(data), strict=False))
    row["recipients"] = tuple(row["recipients"])
    row["verdicts"] = tuple([Verdict(*item) for item in row["verdicts"]])
    row["kept"] = tuple([Kept(*item) for item in row["kept"]])
    row["queue"] = tuple(row["queue"])
    return Reception(**row)


# Telling


def to_json(reception: Reception) -> dict[str, Any]:
    """What `json.dumps` takes."""
    told = reception._asdict()
    told["verdicts"] = [verdict._asdict() for verdict in reception.verdicts]
    told["kept"] = [kept._asdict() for kept in reception.kept]
    return told


def tell(reception: Reception) -> str:
    """The story in plain text."""
    sender = f"<{reception.sender}>" if reception.sender else "the mail system (null reverse-path)"
    to = ", ".join(f"<{recipient}>" for recipient in reception.recipients) or "nobody yet"
    more = f" and {reception.more} more" if reception.more else ""
    what = f"Message {reception.id}" if reception.id else "Refused: mail"
    head = f"{what} from {sender} to {to}{more}"
    if reception.message_id:
        head += f", Message-ID <{reception.message_id}>"
    return "\n".join([head, *_tell_arrival(reception), *_tell_end(reception)]) + "\n"


def _tell_arrival(reception: Reception) -> Iterator[str]:
    clock = datetime.fromtimestamp(reception.at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    who = f", logged in as {reception.account}" if reception.account else ""
    hello = f" ({reception.hello})" if reception.hello else ""
    size = f", {reception.size} octets" if reception.size else ""
    yield (
        f"{clock}  Came from {reception.peer}{hello} by {reception.protocol}, {reception.tls or 'without TLS'}"
        f"{who}{size}."
    )
    for verdict in reception.verdicts:
        why = f" ({verdict.text})" if verdict.text else ""
        yield f"{clock}  Check {verdict.name}: {verdict.verdict}{why}."


def _tell_end(reception: Reception) -> Iterator[str]:
    clock = datetime.fromtimestamp(reception.at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    if reception.reply:
        yield f"{clock}  Answered: {reception.reply}"
    for kept in reception.kept:
        if kept.failure:
            yield f"{clock}  Not kept for {kept.account}: {kept.failure}."
        else:
            yield f"{clock}  Kept in {kept.mailbox} of {kept.account}."
    if reception.queue:
        yield f"{clock}  Queued as {', '.join(map(str, reception.queue))}."
