"""Octets on disk for each of 10,000 realistic messages, with what the servers keep for quick answers."""

from __future__ import annotations

from ..corpus import Corpus
from ..imap import Client, load
from ..report import Result
from ..run import Bench
from ..servers import Server


def disk(bench: Bench) -> None:
    """One round: the result is the same each time."""
    count = bench.count(10_000, 2000)
    messages = Corpus().take(count)
    result = Result(f"octets on disk per message, {count:,} realistic messages", "octets", goal=0.5)
    raw = sum(map(len, messages)) / count
    result.note = f"raw size {raw:,.0f}, median {sorted(map(len, messages))[count // 2]:,}"
    bench.measure(result, bench.servers, lambda server: _used(server, messages) / count, rounds=1)


def _used(server: Server, messages: list[bytes]) -> float:
    account = server.accounts(2)[0]
    load(server, account, messages)
    client = Client(server.address("imap"), account)
    client.command("SELECT INBOX")
    client.timed(
        "FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)"
    )  # as any mail client asks
    client.command("LOGOUT")
    client.close()
    return float(server.disk(account))
