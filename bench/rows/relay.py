"""Relaying: 10,000 messages of 4 KB through the queue to a sink, durable, over 20 connections."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..corpus import Corpus
from ..report import Result
from ..run import Bench
from ..servers import Server

SINK = "127.0.0.1:2026"
SESSIONS = 20


def relay(bench: Bench) -> None:
    """Messages a second from the first connection until the sink has counted the last one."""
    count = bench.count(10_000, 1000)
    result = Result(
        f"relay of {count:,} messages, 4 KB, 20 connections, to smtp-sink", "msg/s", goal=3, at_least=True
    )
    with _sink() as counted:
        bench.measure(result, bench.servers, lambda server: count / _relayed(server, count, counted))


def _relayed(server: Server, count: int, counted: Callable[[], int]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "message.eml"
        file.write_bytes(Corpus().sized(4096).replace(b"\r\n", b"\n"))
        host, port = server.address("relay")
        before, start = counted(), time.perf_counter()
        options = ["-d", "-s", str(SESSIONS), "-m", str(count), "-F", str(file)]
        envelope = ["-f", "bench@bench.test", "-t", "someone@sink.example"]
        command = ["smtp-source", *options, *envelope, f"{host}:{port}"]
        subprocess.run(command, check=True, capture_output=True)
        while (done := counted() - before) < count:
            if time.perf_counter() - start > 300:
                raise RuntimeError(f"{server.name}: {done} of {count} messages reached the sink")
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
