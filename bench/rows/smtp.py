"""Durable SMTP into mailboxes: messages a second until visible over IMAP, and the time to 250."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from support.demo import Account

from ..imap import Client
from ..report import Result, percentile
from ..run import Bench
from ..servers import Server
from ..smtp import latencies, send

SESSIONS = 20


def smtp_new(bench: Bench) -> None:
    """A new connection for each message."""
    result = Result(
        "SMTP to mailbox, 4 KB, 20 connections, a new one per message", "msg/s", goal=8, at_least=True
    )
    _throughput(bench, result, keep=False)


def smtp_kept(bench: Bench) -> None:
    """Connections kept open."""
    result = Result("SMTP to mailbox, 4 KB, 20 connections kept open", "msg/s", goal=12, at_least=True)
    _throughput(bench, result, keep=True)


def _throughput(bench: Bench, result: Result, keep: bool) -> None:
    counts = {"pair": bench.count(1000, 200), "ours": bench.count(10_000, 2000)}
    accounts = {name: server.accounts(2) for name, server in bench.servers.items()}

    def one(server: Server) -> float:
        count = counts[server.name]
        return count / send(server, accounts[server.name], count, SESSIONS, keep)

    bench.measure(result, bench.servers, one)


def p99(bench: Bench) -> None:
    """Each server at half of the rate that it can keep up."""
    seconds = bench.count(8, 3)
    rates = {name: _top_rate(bench, server) / 2 for name, server in bench.servers.items()}
    accounts = {name: server.accounts(2) for name, server in bench.servers.items()}
    middles: dict[str, list[float]] = {name: [] for name in rates}

    def one(server: Server) -> float:
        times = _measured(server, accounts[server.name][0], rates[server.name], seconds)
        middles[server.name].append(statistics.median(times) * 1000)
        return percentile(times, 0.99) * 1000

    result = Result("p99 time to 250 at half of each one's top rate, connections kept", "ms", goal=1)
    result.note = "; ".join(f"{name} at {rate:,.0f} msg/s" for name, rate in rates.items())
    bench.measure(result, bench.servers, one)
    median = Result("median of the same", "ms", pair=middles.get("pair", []), ours=middles.get("ours", []))
    bench.report.add(median)


def _measured(server: Server, account: Account, rate: float, seconds: float) -> list[float]:
    client = Client(server.address("imap"), account)
    before = client.messages()
    times = latencies(server, account, rate, seconds, SESSIONS)
    _wait_until(lambda: client.messages() - before == len(times), server)
    client.close()
    return times


def _top_rate(bench: Bench, server: Server) -> float:
    for result in bench.report.results:
        if result.what.startswith("SMTP to mailbox") and result.what.endswith("kept open"):
            return statistics.median({"pair": result.pair, "ours": result.ours}[server.name])
    count = {"pair": 500, "ours": 4000}[server.name]
    accounts = server.accounts(2)
    return statistics.median(count / send(server, accounts, count, SESSIONS, keep=True) for _ in range(3))


def _wait_until(condition: Callable[[], bool], server: Server, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"{server.name}: messages that got 250 are missing")
        time.sleep(0.05)
