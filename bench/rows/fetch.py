"""The time of FETCH 1:* on 10,000 and 100,000 messages, warm, read by a client that only counts octets."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator

from ..corpus import Corpus
from ..imap import Client, load
from ..report import Result
from ..run import Bench

DISTINCT = 10_000
ITEMS = {
    "(UID FLAGS)": "UID FLAGS",
    "(ENVELOPE ...)": "UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE",
    "(BODYSTRUCTURE)": "BODYSTRUCTURE",
    "(BODY.PEEK[])": "BODY.PEEK[]",
}


def fetch(bench: Bench) -> None:
    """Microseconds a message for each kind of FETCH."""
    for count in [bench.count(10_000, 2000), *([] if bench.quick else [100_000])]:
        clients = _loaded(bench, count)
        for name, items in ITEMS.items():
            _row(bench, clients, count, name, items)
        for client in clients.values():
            client.close()


def _row(bench: Bench, clients: dict[str, Client], count: int, name: str, items: str) -> None:
    result = Result(f"FETCH 1:* {name}, {count:,} messages", "µs/msg", goal=1.5)
    bench.measure(result, clients, lambda client: client.timed(f"FETCH 1:* ({items})")[0] * 1e6 / count)


def numbered(count: int) -> Iterator[bytes]:
    """`count` messages, none twice; from `DISTINCT` on their bodies repeat."""
    corpus = Corpus().take(min(count, DISTINCT))
    for number in range(count):
        yield b"X-Number: %d\r\n" % number + corpus[number % DISTINCT]


def _loaded(bench: Bench, count: int) -> dict[str, Client]:
    """Clients with the loaded mailbox selected, after one FETCH of each kind that was checked."""
    clients = {}
    for server in bench.servers.values():
        bench.report.say(f"loading {count:,} messages into {server.name}")
        account = server.accounts(1)[0]
        load(server, account, numbered(count))
        client = clients[server.name] = Client(server.address("imap"), account)
        client.command("SELECT INBOX")
        for name, items in ITEMS.items():
            if items == "BODY.PEEK[]" and count > DISTINCT:
                continue
            response = client.command(f"FETCH 1:* ({items})")
            if items == "BODY.PEEK[]":
                wanted = Counter(hashlib.sha256(message).digest() for message in numbered(count))
                assert Counter(_bodies(response)) == wanted, f"{server.name} changed messages"
            else:
                answered = len(re.findall(rb"^\* \d+ FETCH ", response, re.MULTILINE))
                assert answered == count, f"{server.name} answered {answered} of {count} to {name}"
    return clients


def _bodies(response: bytes) -> Iterator[bytes]:
    """The digest of each literal."""
    position = 0
    while found := re.compile(rb"BODY\[\] \{(\d+)\}\r\n").search(response, position):
        position = found.end() + int(found[1])
        yield hashlib.sha256(response[found.end() : position]).digest()
