"""What memory a connection takes whose client fetches a gigabyte and is slow to read it."""

from __future__ import annotations

import time

from ..corpus import Corpus
from ..imap import Client, load
from ..report import Result
from ..run import Bench
from ..servers import Ours, proportional_memory

MEGABYTE = 1024 * 1024
LARGE, SMALL = 25 * MEGABYTE, 40 * 1024
_PAUSE = 0.004  # seconds after each read of at most _READ octets: 50 MB/s


def slow(bench: Bench) -> None:
    """The most memory above that before the FETCH, with caches warm."""
    if bench.ours is None:
        return
    ours, wanted = bench.ours, bench.count(1024, 128) * MEGABYTE
    account = ours.accounts(1)[0]
    corpus = Corpus()
    client = Client(ours.address("imap"), account)
    pieces = [corpus.sized(SMALL) for _ in range(300)] + [b"".join(corpus.sized(SMALL) for _ in range(640))]
    load(ours, account, pieces)
    client.command("SELECT INBOX")
    octets = sum(map(len, pieces))
    while octets < wanted:
        client.command("COPY 1:* INBOX")
        client.command("NOOP")
        octets *= 2
    client.timed("FETCH 1:* BODY.PEEK[]")
    before = proportional_memory(ours.pids())
    most, octets = _most_memory(ours, client)
    client.close()
    result = Result("memory that a FETCH of bodies takes, the client slow", "MB", goal=2, relative=False)
    result.ours = [(most - before) / MEGABYTE]
    result.note = f"{octets / MEGABYTE:,.0f} MB of bodies"
    bench.report.add(result)


def _most_memory(ours: Ours, client: Client) -> tuple[int, int]:
    """The most memory while a response is read slowly, and its octets."""
    tag, most, octets, tail, looked = client.send("FETCH 1:* BODY.PEEK[]"), 0, 0, b"", 0.0
    while True:
        data = client.socket.recv(256 * 1024)
        octets += len(data)
        tail = (tail + data[-100:])[-100:]
        if not data or b"\r\n" + tag + b" OK" in tail:
            return most, octets
        time.sleep(_PAUSE)
        if time.monotonic() - looked > 0.1:
            looked = time.monotonic()
            most = max(most, proportional_memory(ours.pids()))
