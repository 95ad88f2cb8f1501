"""The causal record of a message: who handed it in, each verdict, each attempt, each outcome, and told as a story."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from mailwright.base.domain import spellings
from mailwright.queue.values import NewMessage
from mailwright.store.db.api import Transaction, Value
from mailwright.store.db.insert import insert, insert_numbered, select

KEPT_FOR: Final = 30 * 86_400.0  # seconds
MAX_DATA: Final = 16 * 1024  # characters of one event
_LOOKUP_LIMIT: Final = 50


@dataclass(frozen=True)
class Event:
    """Something that happened to a message. `data` holds what JSON can."""

    at: float
    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """The whole record of one message; `id` is its queue id."""

    id: int
    at: float
    account: int
    message_id: str
    reverse_path: str
    events: tuple[Event, ...]
    waiting: int  # recipients still in the queue
    held: int = 0  # of these
    stopped: str = ""  # why all mail of the account is held, if it is


# Writing


def begin_all(tx: Transaction, now: float, messages: Sequence[NewMessage]) -> list[int]:
    """A new record for each message; their ids, in the order of the messages."""
    rows = [
        (message.message_id, now, message.account, message.reverse_path, message.origin, _names(message))
        for message in messages
    ]
    return insert_numbered(tx, "traces (message_id, at, account, reverse_path, origin, names)", rows)


def _names(message: NewMessage) -> str:
    """What the record is found by: Message-ID and addresses, each between line ends."""
    names = [message.message_id.strip("<>"), message.reverse_path]
    names += [recipient.address for recipient in message.recipients]
    return "\n".join(("", *names, "")).lower()


_EVENTS: Final = "trace_events (trace, n, at, kind, data)"


def add(tx: Transaction, number: int, now: float, kind: str, data: Mapping[str, Any]) -> None:
    """One more event."""
    add_all(tx, kind, [(number, now, data)])


def add_all(tx: Transaction, kind: str, events: Sequence[tuple[int, float, Mapping[str, Any]]]) -> None:
    """One more event of the same kind for each of these: the record's id, the time, and what happened."""
    numbers = {number for number, _, _ in events}
    last = {
        int(row[0]): int(row[1])
        for row in select(
            tx,
            "SELECT trace, MAX(n) FROM trace_events WHERE trace IN",
            sorted(numbers),
            "GROUP BY trace",
        )
    }
    rows: list[Sequence[Value]] = []
    for number, at, data in events:
        last[number] = last.get(number, -1) + 1
        rows.append((number, last[number], at, kind, _encode(data)))
    insert(tx, _EVENTS, rows)


def _encode(data: Mapping[str, Any]) -> str:
    text = msgspec.json.encode(data).decode()
    if len(text) > MAX_DATA:
        text = json.dumps({"cut": text[: MAX_DATA // 2]}, ensure_ascii=False)
    return text


def purge(tx: Transaction, now: float, kept_for: float = KEPT_FOR, limit: int = 2000) -> int:
    """Forget the oldest records whose time is over and whose message is gone; how many."""
    rows = tx.all(
        "SELECT id FROM traces WHERE at < ? AND NOT EXISTS (SELECT 1 FROM queue_messages WHERE id = traces.id)"
        " ORDER BY id LIMIT ?",
        now - kept_for,
        limit,
    )
    for table, column in (("trace_events", "trace"), ("traces", "id")):
        tx.many(f"DELETE FROM {table} WHERE {column} = ?", rows)  # noqa: S608
    return len(rows)


# Reading


def find(tx: Transaction, text: str, limit: int = _LOOKUP_LIMIT) -> list[int]:
    """The records that a queue id, a Message-ID or an address names, the latest first."""
    names = spellings(text.strip().strip("<>"))
    name = names[0]
    if not name:
        return []  # though whatever lacks a Message-ID or a sender has that empty one
    escaped = [one.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") for one in names]
    condition = " OR ".join(["names LIKE ? ESCAPE '\\'"] * len(names))
    rows = tx.all(
        f"SELECT id FROM traces WHERE {condition} ORDER BY id DESC LIMIT ?",  # noqa: S608
        *[f"%\n{one}\n%" for one in escaped],
        limit,
    )
    if name.isascii() and name.isdigit() and len(name) < 19:
        rows = tx.all("SELECT id FROM traces WHERE id = ?", int(name)) + rows
    return [int(row[0]) for row in rows]


def read(tx: Transaction, number: int) -> Record | None:
    """The record with this id."""
    row = tx.one("SELECT id, at, account, message_id, reverse_path, origin FROM traces WHERE id = ?", number)
    if row is None:
        return None
    events = tuple(
        Event(at, kind, json.loads(data))
        for at, kind, data in tx.all(
            "SELECT at, kind, data FROM trace_events WHERE trace = ? ORDER BY n", number
        )
    )
    number, at, account, message_id, reverse_path, origin = row
    if origin is not None:
        events = (Event(at, "accepted", {"origin": origin}), *events)
    counts = tx.one("SELECT COUNT(*), COALESCE(SUM(held), 0) FROM queue_recipients WHERE message = ?", number)
    waiting, held = map(int, counts or (0, 0))
    stop = tx.one("SELECT reason FROM queue_stops WHERE account = ?", account) if held else None
    reason = str(stop[0]) if stop is not None else ""
    return Record(number, at, account, message_id, reverse_path, events, waiting, held, reason)


# Telling


def to_json(record: Record) -> dict[str, Any]:
    """What `json.dumps` takes."""
    return {
        "id": record.id,
        "at": record.at,
        "account": record.account or None,
        "message_id": record.message_id,
        "reverse_path": record.reverse_path,
        "waiting": record.waiting,
        "held": record.held,
        "stopped": record.stopped,
        "events": [event_to_json(event) for event in record.events],
    }


def event_to_json(event: Event) -> dict[str, Any]:
    """What `json.dumps` takes."""
    return {"at": event.at, "kind": event.kind, **event.data}


def tell(record: Record, *, lines: bool = False) -> str:
    """The story in plain text, one event in a paragraph; with the SMTP lines when asked for."""
    sender = f"<{record.reverse_path}>" if record.reverse_path else "the mail system (null reverse-path)"
    head = f"Message {record.id} from {sender}"
    if record.message_id:
        head += f", Message-ID <{record.message_id.strip('<>')}>"
    parts = [head]
    parts += [tell_event(event, lines=lines) for event in record.events]
    return "\n".join([*parts, tell_waiting(record)]) + "\n"


def tell_event(event: Event, *, lines: bool = False) -> str:
    """One event in plain text; with the SMTP lines when asked for."""
    first, *rest = _TELLERS.get(event.kind, _tell_other)(event)
    told = f"{_clock(event.at)}  {first}".splitlines() + [f"    {line}" for line in rest]
    if lines:
        told += [f"      {line}" for line in event.data.get("lines", ())]
    return "\n".join(told)


def tell_waiting(record: Record) -> str:
    """What is still to come."""
    if not record.waiting:
        return "Nothing is waiting any more."
    still = f"{record.waiting} recipient{'s' if record.waiting != 1 else ''} still waiting"
    if record.held:
        still += f", {record.held} of them held until `mailwright queue release`"
    if record.stopped:
        still += f": the account is stopped, {record.stopped}"
    return still + "."


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _tell_accepted(event: Event) -> list[str]:
    origin = event.data.get("origin")
    return [f"Accepted {origin}." if origin else "Accepted."]


def _tell_verdict(event: Event) -> list[str]:
    why = event.data.get("text")
    return [
        f"Check {event.data.get('name', '?')}: {event.data.get('verdict', '?')}{f' ({why})' if why else ''}."
    ]


def _tell_attempt(event: Event) -> list[str]:
    data = event.data
    where = data.get("host") or data.get("destination", "?")
    if data.get("address"):
        where += f" [{data['address']}]"
    first = f"Tried {where}"
    if "seconds" in data:
        first += f" for {data['seconds']:.1f} s"
    earlier = data.get("earlier", ())
    if len(earlier) == 1 and not data.get("address"):
        earlier = ()  # the only host, and what the results say of it
    return [
        f"{first}: {_tell_tls(data)}.",
        *(f"before, {fault}" for fault in earlier),
        *(_tell_result(result) for result in data.get("results", ())),
    ]


def _tell_tls(data: Mapping[str, Any]) -> str:
    policy = f" (policy: {data['policy']})" if data.get("policy") else ""
    if not data.get("address"):
        return f"no connection{policy}"
    return f"{data['tls']}{policy}" if data.get("tls") else f"without TLS{policy}"


def _tell_result(result: Mapping[str, Any]) -> str:
    line = f"{result.get('recipient', '?')}: {result.get('outcome', '?')}"
    if result.get("phase") and result.get("outcome") not in ("delivered", "sent", "relayed"):
        line += f" at {result['phase']}"
    if result.get("text"):
        line += f", {result['text']}"
    if result.get("retry_at"):
        line += f"; next attempt {_clock(result['retry_at'])}"
    return line


def _tell_recipients(words: str) -> Callable[[Event], list[str]]:
    def told(event: Event) -> list[str]:
        return [f"{words}: {', '.join(map(str, event.data.get('recipients', ())))}."]

    return told


def _tell_report(event: Event) -> list[str]:
    return [f"Report ({event.data.get('report', '?')}) sent to <{event.data.get('to', '?')}>."]


def _tell_other(event: Event) -> list[str]:
    data: Sequence[str] = [f"{key}: {value}" for key, value in event.data.items()]
    return [f"{event.kind.capitalize()}.", *data]


_TELLERS: Final[dict[str, Callable[[Event], list[str]]]] = {
    "accepted": _tell_accepted,
    "verdict": _tell_verdict,
    "attempt": _tell_attempt,
    "expired": _tell_recipients("Gave up, the time for delivery is over"),
    "delayed": _tell_recipients("Late, the sender is warned if they asked for it"),
    "local": _tell_recipients("Kept in the mailbox of"),
    "held": _tell_recipients("Held by the administrator"),
    "released": _tell_recipients("Released"),
    "deleted": _tell_recipients("Deleted by the administrator"),
    "rerouted": _tell_recipients("Sent another way from now on"),
    "report": _tell_report,
}
