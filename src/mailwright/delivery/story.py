"""The whole causal record of a message: how it came or was refused, and what became of it in the queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mailwright.delivery import reception as receptions
from mailwright.delivery.reception import Reception
from mailwright.queue import trace
from mailwright.queue.trace import Record
from mailwright.store.db.api import Transaction


@dataclass(frozen=True)
class Story:
    """One message. Without `reception` it is one of our own, such as a report, or its time is over."""

    reception: Reception | None
    records: tuple[Record, ...] = ()

    @property
    def at(self) -> float:
        return self.reception.at if self.reception is not None else self.records[0].at


def find(tx: Transaction, text: str, limit: int) -> list[Story]:
    """What an id of ours, a queue id, a Message-ID or an address names, refusals too, the latest first."""
    numbers = trace.find(tx, text, limit)
    came = receptions.find(tx, text, limit)
    if text.isascii() and text.isdigit():
        by_queue = receptions.find_by_queue(tx, int(text))
        came += [by_queue] if by_queue is not None and by_queue not in came else []
    told = {number for reception in came for number in reception.queue}
    stories = [Story(reception, _records(tx, reception.queue)) for reception in came]
    stories += [Story(None, found) for n in numbers if n not in told and (found := _records(tx, (n,)))]
    stories += [Story(refusal) for refusal in receptions.find(tx, text, limit, "refusals")]
    return sorted(stories, key=lambda story: story.at, reverse=True)[:limit]


def _records(tx: Transaction, numbers: tuple[int, ...]) -> tuple[Record, ...]:
    found = (trace.read(tx, number) for number in numbers)
    return tuple(record for record in found if record is not None)


def to_json(story: Story) -> dict[str, Any]:
    """What `json.dumps` takes."""
    reception = story.reception
    return {
        "reception": receptions.to_json(reception) if reception is not None else None,
        "queue": [trace.to_json(record) for record in story.records],
    }


def tell(story: Story, *, lines: bool = False) -> str:
    """The story in plain text; with the SMTP lines of attempts when asked for."""
    parts = [receptions.tell(story.reception)] if story.reception is not None else []
    return "\n".join(parts + [trace.tell(record, lines=lines) for record in story.records])
