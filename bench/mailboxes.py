"""Mailboxes to measure with: loaded once in a run, however many rows use them."""

from __future__ import annotations

from collections.abc import Iterator

from support.demo import Account

from .corpus import Corpus
from .imap import Client, load
from .run import Bench
from .servers import Server

DISTINCT = 10_000


def numbered(count: int) -> Iterator[bytes]:
    """`count` messages, none twice; from `DISTINCT` on their bodies repeat."""
    corpus = Corpus().take(min(count, DISTINCT))
    for number in range(count):
        yield b"X-Number: %d\r\n" % number + corpus[number % DISTINCT]


def loaded(bench: Bench, count: int) -> dict[str, Account]:
    """For each side an account whose INBOX holds `numbered(count)`. Rows leave it as they found it."""
    accounts = bench.mailboxes.setdefault(count, {})
    for server in bench.servers.values():
        if server.name not in accounts or not _holds(server, accounts[server.name], count):
            bench.report.say(f"loading {count:,} messages into {server.name}")
            accounts[server.name] = server.accounts(1)[0]
            load(server, accounts[server.name], numbered(count))
    return accounts


def opened(bench: Bench, count: int) -> dict[str, Client]:
    """A client on each side that has selected such an INBOX."""
    clients = {}
    for name, account in loaded(bench, count).items():
        clients[name] = Client(bench.servers[name].address("imap"), account)
        clients[name].command("SELECT INBOX")
    return clients


def _holds(server: Server, account: Account, count: int) -> bool:
    """Whether a mailbox that was loaded before is still there: a server may have begun afresh."""
    try:
        client = Client(server.address("imap"), account)
    except RuntimeError:
        return False
    found = client.messages()
    client.close()
    return found == count
