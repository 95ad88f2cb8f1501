"""The most memory that the server takes while 200 connections send 25 MB each at once."""

from __future__ import annotations

from support.upload import send_at_once

from ..imap import Client
from ..report import Result
from ..run import Bench
from ..servers import peak_memory

MEGABYTE = 1024 * 1024


def upload(bench: Bench) -> None:
    """Peak resident memory, and what that is for each connection above the server at rest."""
    if bench.ours is None:
        return
    ours, connections, size = bench.ours, bench.count(200, 40), bench.count(25, 5) * MEGABYTE
    ours.fresh()
    before = peak_memory(ours.pids()[0])
    account = ours.accounts(1)[0]
    send_at_once(ours.address("smtp"), account.address, connections, size)
    peak = peak_memory(ours.pids()[0])
    client = Client(ours.address("imap"), account)
    assert client.messages() == connections, "messages that got 250 are missing"
    client.close()
    what = f"{connections} connections each sending {size // MEGABYTE} MB at once"
    result = Result(f"peak memory, {what}", "MB", ours=[peak / MEGABYTE])
    result.note = (
        f"{before / MEGABYTE:.0f} MB at rest; {(peak - before) / 1024 / connections:.0f} KB a connection"
    )
    bench.report.add(result)
