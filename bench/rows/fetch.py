"""The time of FETCH 1:* on 10,000 and 100,000 messages, warm, read by a client that only counts octets."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial

from ..imap import Client
from ..mailboxes import DISTINCT, numbered, opened
from ..report import Result
from ..run import Bench

ITEMS = {
    "(UID FLAGS)": "UID FLAGS",
    "(ENVELOPE ...)": "UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE",
    "(BODYSTRUCTURE)": "BODYSTRUCTURE",
    "(BODY.PEEK[])": "BODY.PEEK[]",
}


def fetch(bench: Bench) -> None:
    """Microseconds a message for each kind of FETCH."""
    _measure(bench, bench.count(10_000, 2000))


def fetch_large(bench: Bench) -> None:
    """The same on 100,000 messages."""
    _measure(bench, bench.count(100_000, 20_000))


def _measure(bench: Bench, count: int) -> None:
    clients = opened(bench, count)
    for side, client in clients.items():
        _check(side, client, count)
    for name, items in ITEMS.items():
        result = Result(f"FETCH 1:* {name}, {count:,} messages", "µs/msg", goal=1)
        bench.measure(result, clients, partial(_cost, f"FETCH 1:* ({items})", count))
    for client in clients.values():
        client.close()


def _cost(command: str, count: int, client: Client) -> float:
    return client.timed(command)[0] * 1e6 / count


def _check(side: str, client: Client, count: int) -> None:
    """One FETCH of each kind, answered in full; it warms the caches too."""
    for name, items in ITEMS.items():
        if items == "BODY.PEEK[]" and count > DISTINCT:
            client.timed(f"FETCH 1:* ({items})")
            continue
        response = client.command(f"FETCH 1:* ({items})")
        if items == "BODY.PEEK[]":
            wanted = Counter(hashlib.sha256(message).digest() for message in numbered(count))
            assert Counter(_bodies(response)) == wanted, f"{side} changed messages"
        else:
            answered = len(re.findall(rb"^\* \d+ FETCH ", response, re.MULTILINE))
            assert answered == count, f"{side} answered {answered} of {count} to {name}"


def _bodies(response: bytes) -> Iterator[bytes]:
    """The digest of each literal."""
    position = 0
    while found := re.compile(rb"BODY\[\] \{(\d+)\}\r\n").search(response, position):
        position = found.end() + int(found[1])
        yield hashlib.sha256(response[found.end() : position]).digest()
