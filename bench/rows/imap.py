"""What mail clients do all day over IMAP, on the same mailbox on both sides."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from support.demo import Account

from ..imap import Client
from ..mailboxes import loaded
from ..report import Result
from ..run import Bench
from ..servers import Server

MOVED = 10_000


class Row(NamedTuple):
    """A command to be timed. `undo` is not timed; what takes less than a millisecond is sent `times` in a row."""

    what: str
    command: str
    undo: str = ""
    times: int = 1
    goal: float = 1


SELECT = Row("SELECT", "SELECT INBOX", times=50)
NEWEST = Row(
    "the newest 50 with headers",
    "UID FETCH {newest}:* (FLAGS RFC822.SIZE ENVELOPE BODY.PEEK[HEADER])",
    times=20,
)
COMMANDS = (
    SELECT,
    NEWEST,
    Row("STORE 1:* +FLAGS", "STORE 1:* +FLAGS (\\Flagged)", "STORE 1:* -FLAGS.SILENT (\\Flagged)"),
    Row("STORE 1:* +FLAGS.SILENT", "STORE 1:* +FLAGS.SILENT (\\Draft)", "STORE 1:* -FLAGS.SILENT (\\Draft)"),
    Row("SEARCH by flag", "SEARCH UNSEEN"),
    Row("SEARCH by date", "SEARCH SENTSINCE 10-Jan-2026"),
    Row("SEARCH by header", "SEARCH SUBJECT meeting"),
    Row("SEARCH by body", "SEARCH BODY grundwasser", goal=0.02),
    Row("SORT by date", "SORT (REVERSE DATE) UTF-8 ALL"),
    Row("SORT by subject", "SORT (SUBJECT) UTF-8 ALL"),
    Row("THREAD", "THREAD REFERENCES UTF-8 ALL"),
)


def imap(bench: Bench) -> None:
    """Milliseconds for each command on 10,000 messages, for COPY and MOVE of them, and for resynchronising."""
    _measure(bench, bench.count(10_000, 2000))


def imap_large(bench: Bench) -> None:
    """The same on 100,000 messages."""
    _measure(bench, bench.count(100_000, 20_000))


def _measure(bench: Bench, count: int) -> None:
    accounts = loaded(bench, count)
    clients = {name: _selected(bench.servers[name], account) for name, account in accounts.items()}
    for row in COMMANDS:
        measure_row(bench, clients, row, count)
    _copy_and_move(bench, clients, min(count, MOVED), count)
    _resync(bench, accounts, count)
    for client in clients.values():
        client.close()


def _selected(server: Server, account: Account) -> Client:
    client = Client(server.address("imap"), account)
    client.command("SELECT INBOX")
    return client


def measure_row(bench: Bench, clients: Mapping[str, Client], row: Row, count: int) -> None:
    command = row.command.format(newest=count - 49)

    def one(client: Client) -> float:
        seconds = sum(client.timed(command)[0] for _ in range(row.times))
        if row.undo:
            client.timed(row.undo)
        return seconds * 1000 / row.times

    what = f"{row.what}, {count:,} messages"
    supported = {}
    for name, client in clients.items():
        try:
            one(client)  # warm, and known to work
        except RuntimeError as error:
            bench.report.trouble(f"{what}, {name}: {error}")
        else:
            supported[name] = client
    for name in supported:
        bench.servers[name].rest()  # a first search of text may have set the indexer to work
    bench.measure(Result(what, "ms", goal=row.goal), supported, one)


def _copy_and_move(bench: Bench, clients: Mapping[str, Client], moved: int, count: int) -> None:
    """COPY INBOX's first messages to a new mailbox, and MOVE them on to another one."""

    def copy(client: Client) -> float:
        client.command("CREATE Copied")
        seconds, _ = client.timed(f"COPY 1:{moved} Copied")
        client.command("DELETE Copied")
        return seconds * 1000

    def move(client: Client) -> float:
        client.command("CREATE Copied")
        client.command("CREATE Moved")
        client.command(f"COPY 1:{moved} Copied")
        client.command("SELECT Copied")
        seconds, _ = client.timed(f"MOVE 1:{moved} Moved")
        client.command("SELECT INBOX")
        client.command("DELETE Copied")
        client.command("DELETE Moved")
        return seconds * 1000

    steps: dict[str, Callable[[Client], float]] = {"COPY": copy, "MOVE": move}
    for name, step in steps.items():
        bench.measure(Result(f"{name} of {moved:,}, {count:,} messages", "ms", goal=1), clients, step)


def _resync(bench: Bench, accounts: Mapping[str, Account], count: int) -> None:
    """SELECT by a client that was away while the flags of 1% changed, a tenth of that went and as much came."""
    some = ",".join(str(number) for number in range(50, count, 100))
    tenth = count // 1000

    def one(name: str) -> float:
        server, account = bench.servers[name], accounts[name]
        client, other = Client(server.address("imap"), account), _selected(server, account)
        client.command("ENABLE QRESYNC")
        response = client.command("SELECT INBOX")
        known = [
            int(found[1])
            for word in (b"UIDVALIDITY", b"HIGHESTMODSEQ")
            if (found := re.search(rb"\[%b (\d+)\]" % word, response))
        ]
        client.command("UNSELECT")
        other.command(f"STORE {some} +FLAGS.SILENT (\\Answered)")
        other.command(f"COPY 1:{tenth} INBOX")
        other.command(f"STORE 1:{tenth} +FLAGS.SILENT (\\Deleted)")
        other.command("EXPUNGE")
        seconds, _ = client.timed(f"SELECT INBOX (QRESYNC ({known[0]} {known[1]}))")
        other.command(f"STORE {some} -FLAGS.SILENT (\\Answered)")
        client.close()
        other.close()
        return seconds * 1000

    what = f"SELECT with QRESYNC after 1% changed, {count:,} messages"
    bench.measure(Result(what, "ms", goal=1), {name: name for name in accounts}, one)
