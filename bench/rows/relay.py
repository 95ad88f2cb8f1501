"""Relaying: 10,000 messages of 4 KB through the queue to a sink, durable, over 20 connections."""

from __future__ import annotations

import math
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..report import Result
from ..run import Bench
from ..smtp import Envelope, send_paced

SINK = "127.0.0.1:2026"
SESSIONS = 20
TO = "someone@sink.example"


def relay(bench: Bench) -> None:
    """Messages a second from the first connection until the sink has counted the last one.

    The pair relays for loopback; ours takes a submission from an account that has logged in.
    """
    count = bench.count(10_000, 1000)
    doors: dict[str, tuple[tuple[str, int], Envelope]] = {}
    if bench.pair is not None:
        doors["pair"] = bench.pair.address("smtp"), Envelope("bench@bench.test", TO)
    if bench.ours is not None:
        bench.ours.fresh("--smarthost", SINK)
        account = bench.ours.accounts(1)[0]
        doors["ours"] = bench.ours.address("submission"), Envelope(account.address, TO, account)
    result = Result(
        f"relay of {count:,} messages, 4 KB, 20 connections, to smtp-sink", "msg/s", goal=3, at_least=True
    )
    with _sink() as counted:
        bench.measure(result, doors, lambda door: count / _relayed(*door, count, counted))


def _relayed(address: tuple[str, int], envelope: Envelope, count: int, counted: Callable[[], int]) -> float:
    before, start = counted(), time.perf_counter()
    send_paced(address, envelope, math.inf, count, SESSIONS)
    while (done := counted() - before) < count:
        if time.perf_counter() - start > 300:
            raise RuntimeError(f"{done} of {count} messages reached the sink")
        time.sleep(0.02)
    return time.perf_counter() - start


@contextmanager
def _sink() -> Iterator[Callable[[], int]]:
    """A running smtp-sink, and how many messages it has counted."""
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    with tempfile.TemporaryFile() as output:
        command = ["smtp-sink", *user, "-c", SINK, "1000"]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)

        def counted() -> int:
            size = os.fstat(output.fileno()).st_size
            found = re.findall(rb"mesg=(\d+)\r", os.pread(output.fileno(), 200, max(0, size - 200)))
            return int(found[-1]) if found else 0

        try:
            time.sleep(0.3)
            if process.poll() is not None:
                raise RuntimeError(f"smtp-sink does not start on {SINK}")
            yield counted
        finally:
            process.terminate()
            process.wait()
