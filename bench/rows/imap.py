"""What mail clients do all day over IMAP, on the same mailbox on both sides."""

from __future__ import annotations

from ..imap import Client, load
from ..report import Result
from ..run import Bench
from .fetch import numbered

# What, the command, one that undoes it (not timed), and the goal for ours/pair.
COMMANDS: tuple[tuple[str, str, str, float], ...] = (
    ("SELECT", "SELECT INBOX", "", 1),
    (
        "the newest 50 with headers",
        "UID FETCH {newest}:* (FLAGS RFC822.SIZE ENVELOPE BODY.PEEK[HEADER])",
        "",
        1,
    ),
    (
        "STORE 1:* +FLAGS.SILENT",
        "STORE 1:* +FLAGS.SILENT (\\Flagged)",
        "STORE 1:* -FLAGS.SILENT (\\Flagged)",
        1,
    ),
    ("SEARCH by flag", "SEARCH UNSEEN", "", 1),
    ("SEARCH by date", "SEARCH SENTSINCE 10-Jan-2026", "", 1),
    ("SEARCH by header", "SEARCH SUBJECT meeting", "", 1),
    ("SEARCH by body", "SEARCH BODY grundwasser", "", 0.02),
    ("SORT by date", "SORT (REVERSE DATE) UTF-8 ALL", "", 1),
    ("THREAD", "THREAD REFERENCES UTF-8 ALL", "", 1),
)


def imap(bench: Bench) -> None:
    """Milliseconds for each command, and for COPY and MOVE of 10,000 messages."""
    for count in [bench.count(10_000, 2000), *([] if bench.quick else [100_000])]:
        clients = {}
        for server in bench.servers.values():
            bench.report.say(f"loading {count:,} messages into {server.name}")
            account = server.accounts(1)[0]
            load(server, account, numbered(count))
            clients[server.name] = Client(server.address("imap"), account)
            clients[server.name].command("SELECT INBOX")
        for what, command, undo, goal in COMMANDS:
            _row(bench, clients, f"{what}, {count:,} messages", command.format(newest=count - 49), undo, goal)
        _copy_and_move(bench, clients, min(count, 10_000), count)
        for client in clients.values():
            client.close()


def _row(bench: Bench, clients: dict[str, Client], what: str, command: str, undo: str, goal: float) -> None:
    def one(client: Client) -> float:
        seconds, _ = client.timed(command)
        if undo:
            client.timed(undo)
        return seconds * 1000

    supported = {}
    for name, client in clients.items():
        try:
            one(client)  # warm, and known to work
        except RuntimeError as error:
            bench.report.trouble(f"{what}, {name}: {error}")
        else:
            supported[name] = client
    bench.measure(Result(what, "ms", goal=goal), supported, one)


def _copy_and_move(bench: Bench, clients: dict[str, Client], moved: int, count: int) -> None:
    """COPY INBOX's first messages to a new mailbox in each round; MOVE each round's copy to another one."""
    rounds = dict.fromkeys(clients, 0)

    def name(client: Client) -> str:
        side = next(side for side, known in clients.items() if known is client)
        rounds[side] += 1
        return str(rounds[side])

    def copy(client: Client) -> float:
        client.command(f"CREATE Copy{(number := name(client))}")
        return client.timed(f"COPY 1:{moved} Copy{number}")[0] * 1000

    def move(client: Client) -> float:
        client.command(f"CREATE Move{(number := name(client))}")
        client.command(f"SELECT Copy{number}")
        seconds, _ = client.timed(f"MOVE 1:{moved} Move{number}")
        client.command("SELECT INBOX")
        return seconds * 1000

    bench.measure(Result(f"COPY of {moved:,}, {count:,} messages", "ms", goal=1), clients, copy)
    rounds = dict.fromkeys(clients, 0)
    bench.measure(Result(f"MOVE of {moved:,}, {count:,} messages", "ms", goal=1), clients, move)
