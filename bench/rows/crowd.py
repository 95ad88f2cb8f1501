"""200 IMAP clients that read, mark, search and append for a minute, all at once."""

from __future__ import annotations

import statistics

from support.demo import Account

from ..crowd import mingle, visit
from ..imap import Client
from ..mailboxes import loaded
from ..report import Result, percentile
from ..run import Bench
from ..servers import Server

CLIENTS = 200
BOXES = [f"Box{number}" for number in range(10)]


def crowd(bench: Bench) -> None:
    """Commands a second, and the time that one takes; ten mailboxes, twenty clients in each."""
    count = bench.count(10_000, 2000)
    accounts = loaded(bench, count)
    share = count // len(BOXES)
    values: dict[str, dict[str, list[float]]] = {"rate": {}, "p50": {}, "p99": {}}
    for name, account in accounts.items():
        server = bench.servers[name]
        _prepare(server, account, share)
        visitors = visit(server, [account], BOXES, share, CLIENTS)
        mingle(visitors, 2)
        found = mingle(visitors, bench.count(60, 5))
        for visitor in visitors:
            visitor.socket.close()
        _tidy(server, account)
        values["rate"][name] = [found.rate]
        values["p50"][name] = [statistics.median(found.times) * 1000]
        values["p99"][name] = [percentile(found.times, 0.99) * 1000]
    what = f"{CLIENTS} clients at once, mixed commands"
    for key, text, unit in (
        ("rate", what, "1/s"),
        ("p50", f"median time of a command, {what}", "ms"),
        ("p99", f"p99 time of a command, {what}", "ms"),
    ):
        pair, ours = values[key].get("pair", []), values[key].get("ours", [])
        bench.report.add(Result(text, unit, pair, ours, goal=1, at_least=unit == "1/s"))


def _prepare(server: Server, account: Account, share: int) -> None:
    client = Client(server.address("imap"), account)
    client.command("SELECT INBOX")
    if b" Sent" not in client.command('LIST "" Sent'):
        client.command("CREATE Sent")
    for number, box in enumerate(BOXES):
        client.command(f"CREATE {box}")
        client.command(f"COPY {number * share + 1}:{(number + 1) * share} {box}")
    client.close()


def _tidy(server: Server, account: Account) -> None:
    client = Client(server.address("imap"), account)
    for box in BOXES:
        client.command(f"DELETE {box}")
    client.close()
