"""Relaying: 10,000 messages of 4 KB through the queue to a sink, durable, over 20 connections."""

from __future__ import annotations

import asyncio
import math
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mailwright.app.storage import open_store
from mailwright.cli.records import ensure_keys
from mailwright.config import Config
from mailwright.config import Server as ServerSettings
from mailwright.queue import intake
from mailwright.queue.model import Rules
from mailwright.queue.values import NewMessage, NewRecipient
from mailwright.store.db.api import Transaction

from ..report import Result
from ..run import Bench
from ..servers import Ours
from ..smtp import Envelope, send_paced

SINK = "127.0.0.1:2026"
SESSIONS = 20
TO = "someone@sink.example"
DEFERRED = 100_000
_DESTINATIONS = 1000  # that the deferred messages wait for
_BATCH = 2000

Door = tuple[tuple[str, int], Envelope]


def relay(bench: Bench) -> None:
    """Messages a second from the first connection until the sink has counted the last one.

    The pair relays for loopback; ours takes a submission from an account that has logged in.
    """
    doors: dict[str, Door] = {}
    if bench.pair is not None:
        doors["pair"] = bench.pair.address("smtp"), Envelope("bench@bench.test", TO)
    if bench.ours is not None:
        bench.ours.fresh("--smarthost", SINK)
        doors["ours"] = _door(bench.ours)
    count = bench.count(10_000, 1000)
    _measure(bench, Result(_what(count), "msg/s", goal=3, at_least=True), doors, count)


def relay_signed(bench: Bench) -> None:
    """The same with DKIM; the pair does not sign."""
    if bench.ours is None:
        return
    bench.ours.fresh("--smarthost", SINK)
    assert bench.ours.demo is not None
    ensure_keys(bench.ours.demo.data / "dkim", "demo.test")
    count = bench.count(10_000, 1000)
    result = Result(f"{_what(count)}, signed twice (RSA-2048 and Ed25519)", "msg/s")
    _measure(bench, result, {"ours": _door(bench.ours)}, count)


def relay_deferred(bench: Bench) -> None:
    """The same with and without many messages that wait for their next attempt."""
    if bench.ours is None:
        return
    bench.ours.fresh("--smarthost", SINK)
    other, count = Ours(), bench.count(10_000, 1000)
    result = Result(f"{_what(count)}, beside {DEFERRED:,} deferred ones", "msg/s", goal=0.9, at_least=True)
    result.note = "in the column of the pair: ours without them"
    try:
        other.fresh("--smarthost", SINK)
        assert other.demo is not None
        other.demo.stop()
        asyncio.run(_defer(other.demo.data))
        other.demo.start()
        _measure(bench, result, {"pair": _door(bench.ours), "ours": _door(other)}, count)
    finally:
        other.stop()


def _what(count: int) -> str:
    return f"relay of {count:,} messages, 4 KB, 20 connections, to smtp-sink"


def _door(ours: Ours) -> Door:
    account = ours.accounts(1)[0]
    return ours.address("submission"), Envelope(account.address, TO, account)


def _measure(bench: Bench, result: Result, doors: Mapping[str, Door], count: int) -> None:
    with _sink() as counted:
        bench.measure(result, doors, lambda door: count / _relayed(*door, count, counted))


def _relayed(address: tuple[str, int], envelope: Envelope, count: int, counted: Callable[[], int]) -> float:
    before = counted()
    began = send_paced(address, envelope, math.inf, count, SESSIONS).began
    while (done := counted() - before) < count:
        if time.perf_counter() - began > 300:
            raise RuntimeError(f"{done} of {count} messages reached the sink")
        time.sleep(0.02)
    return time.perf_counter() - began


async def _defer(data: Path) -> None:
    """Fill the queue with messages that were tried three times and are due in some hours."""
    store = open_store(Config(server=ServerSettings(data=data)))
    await store.start()
    try:
        for start in range(0, DEFERRED, _BATCH):
            await store.write(_queue_many, start, time.time())
        await store.write(_postpone, time.time() + 3600)
    finally:
        await store.close()


def _queue_many(tx: Transaction, start: int, now: float) -> None:
    for number in range(start, start + _BATCH):
        content = b"Subject: %d\r\n\r\nThis waits.\r\n" % number
        blob = tx.blobs.keep(tx, tx.blobs.prepare((content,), len(content), _no_upload), int(now))
        to = NewRecipient(f"someone{number}@dead{number % _DESTINATIONS}.example")
        intake.enqueue(tx, NewMessage(blob, len(content), "bench@demo.test", (to,), now), now, Rules())


def _postpone(tx: Transaction, at: float) -> None:
    tx.run("UPDATE queue_recipients SET tier = 1, attempts = 3, due_at = ? + message % 10000", at)


def _no_upload(*_: object) -> object:
    raise AssertionError("small content is not uploaded")


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
