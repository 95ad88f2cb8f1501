"""Whether SELECT and opening the newest page cost more in a mailbox of 1,000,000 messages than in one of 10,000."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from mailwright.app.storage import open_store
from mailwright.config import Config
from mailwright.config import Server as ServerSettings
from mailwright.store import arrivals, mailboxes
from mailwright.store.arrivals import Arrival
from mailwright.store.blobs.api import CHUNK
from mailwright.store.db.api import Transaction
from mailwright.store.incoming import prepare_small

from ..imap import Client
from ..mailboxes import DISTINCT, numbered
from ..report import Result
from ..run import Bench
from .imap import NEWEST, SELECT, Row, measure_row

_BATCH = 2000
_ALONE = (
    Row("FETCH 1:* (UID FLAGS)", "FETCH 1:* (UID FLAGS)"),
    Row("SEARCH by flag", "SEARCH UNSEEN"),
    Row("SEARCH by date", "SEARCH SENTSINCE 10-Jan-2026"),
    Row("SORT by date", "SORT (REVERSE DATE) UTF-8 ALL"),
)


def million(bench: Bench) -> None:
    """Ours alone, put into the store directly."""
    if bench.ours is None:
        return
    ours, few, many = bench.ours, bench.count(10_000, 2000), bench.count(1_000_000, 50_000)
    ours.fresh()
    assert ours.demo is not None
    people = ours.accounts(2)
    bench.report.say(f"putting {many:,} messages into the store")
    ours.demo.stop()
    asyncio.run(_fill(ours.demo.data, [(people[0].address, few), (people[1].address, many)]))
    ours.demo.start()
    clients = [Client(ours.address("imap"), account) for account in people]
    for row in (SELECT, NEWEST):
        for client in clients:
            client.command("SELECT INBOX")
        _compare(bench, row, clients, (few, many))
    for row in _ALONE:
        measure_row(bench, {"ours": clients[1]}, row, many)
    for client in clients:
        client.close()


def _compare(bench: Bench, row: Row, clients: list[Client], counts: tuple[int, int]) -> None:
    """The same command in a small and in a large mailbox; the small one stands where the pair does."""

    def one(index: int) -> float:
        command = row.command.format(newest=counts[index] - 49)
        return sum(clients[index].timed(command)[0] for _ in range(row.times)) * 1000 / row.times

    result = Result(f"{row.what}, {counts[1]:,} messages", "ms", goal=2)
    result.note = f"in the column of the pair: ours with {counts[0]:,}"
    bench.measure(result, {"pair": 0, "ours": 1}, one)


async def _fill(data: Path, wanted: list[tuple[str, int]]) -> None:
    """Put so many messages into each one's INBOX."""
    store = open_store(Config(server=ServerSettings(data=data)))
    await store.start()
    try:
        for address, count in wanted:
            some = [message for message in numbered(min(count, DISTINCT)) if len(message) <= CHUNK]
            made = [prepare_small(store.blobs, message) for message in some]
            for start in range(0, count, _BATCH):
                batch = [Arrival(made[n % len(made)]) for n in range(start, min(start + _BATCH, count))]
                await store.write(_put, address, batch, int(time.time()))
    finally:
        await store.close()


def _put(tx: Transaction, address: str, batch: list[Arrival], now: int) -> None:
    row = tx.one("SELECT id FROM accounts WHERE address = ?", address)
    assert row is not None
    inbox = mailboxes.find_mailbox(tx, row[0], "INBOX")
    arrivals.add_all(tx, row[0], inbox.id, batch, now=now)
