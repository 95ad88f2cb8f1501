"""What an idle IMAP session costs in memory: LOGIN, SELECT INBOX, IDLE."""

from __future__ import annotations

import resource
import time
from concurrent.futures import ThreadPoolExecutor

from support.demo import Account

from ..imap import Client
from ..mailboxes import loaded
from ..report import Result
from ..run import Bench
from ..servers import Server, proportional_memory

MAILBOX = 10_000  # messages in the mailbox that the sessions select
PAIR_MOST = 4000  # Dovecot's configuration there allows 4,096 processes
KILOBYTE = 1024


def sessions(bench: Bench) -> None:
    """500 and 5,000 sessions without TLS on both sides, and with TLS on ours."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    accounts = loaded(bench, bench.count(MAILBOX, 2000))
    for count in [500] if bench.quick else [500, 5000]:
        _rows(bench, accounts, count)


def _rows(bench: Bench, accounts: dict[str, Account], count: int) -> None:
    rounds = bench.rounds if count <= 500 else 1
    result = Result(f"memory of an idle IMAP session, {count:,} of them", "KB", goal=25, relative=False)
    if count > PAIR_MOST and bench.pair:
        result.note = f"the pair with {PAIR_MOST:,}"
    bench.measure(result, bench.servers, lambda s: _cost(s, accounts[s.name], "imap", count), rounds)
    if bench.ours is not None:
        result = Result(f"the same over TLS, {count:,} of them", "KB", goal=80, relative=False)
        bench.measure(
            result, {"ours": bench.ours}, lambda s: _cost(s, accounts[s.name], "imaps", count), rounds
        )


def _cost(server: Server, account: Account, service: str, count: int) -> float:
    """KB of memory for each session more."""
    if server.name == "pair":
        count = min(count, PAIR_MOST)
    server.settle()
    first = _open(server, account, service, 20)
    time.sleep(1)
    before = proportional_memory(server.pids())
    with ThreadPoolExecutor(8) as pool:
        shares = pool.map(lambda n: _open(server, account, service, n), [count // 8] * 8)
        opened = [client for share in shares for client in share]
    time.sleep(1)
    after = proportional_memory(server.pids())
    for client in opened + first:
        client.close()
    time.sleep(1 if count <= 500 else 5)
    return (after - before) / KILOBYTE / len(opened)


def _open(server: Server, account: Account, service: str, count: int) -> list[Client]:
    clients = []
    for _ in range(count):
        client = Client(server.address(service), account, tls=service == "imaps", buffer=16_384)
        client.command("SELECT INBOX")
        client.idle()
        clients.append(client)
    return clients
