"""SIGKILL at seeded moments while mail goes on to a sink that notes what it has kept.

No message that got 250 is missing there in the end. One that comes twice was on its way at a kill: its end was not
recorded, and its final reply came shortly before the kill or never. Within one life of the server nothing comes twice.
"""

from __future__ import annotations

import itertools
import random
import re
import smtplib
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest
from crash import sink
from crash.senders import GONE, Ledger
from support.demo import Demo

KILLS = 50
SEED = 5321
SENDERS = 4
LATE = (
    2.0  # seconds after its final reply, at the most, until an end is recorded, however busy the machine is
)


@dataclass(frozen=True)
class Kept:
    """A message that the sink took, and when."""

    number: int
    connection: int
    at: float


class SinkProcess:
    """The sink, and its notes."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "kept"
        self._process = subprocess.Popen(
            [sys.executable, sink.__file__, str(self._file)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kept(self) -> list[Kept]:
        rows = (
            line.split() for line in self._file.read_text().splitlines(keepends=True) if line.endswith("\n")
        )
        return [Kept(int(number), int(connection), float(at)) for number, connection, at in rows]

    def settle(self) -> None:
        """Wait until the sink has read all that a killed server had sent: its connections came before this one."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=30) as client:
            assert client.docmd("WAIT")[0] == 250

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def sink_process(tmp_path: Path) -> Iterator[SinkProcess]:
    process = SinkProcess(tmp_path)
    yield process
    process.stop()


def test_nothing_that_was_accepted_is_lost_on_its_way(tmp_path: Path, sink_process: SinkProcess) -> None:
    demo = Demo(tmp_path / "data", options=("--smarthost", f"127.0.0.1:{sink_process.port}"))
    ledger, chance = Ledger(), random.Random(SEED)
    kills: list[float] = []
    ended: list[set[int]] = []  # after each kill: what had been accepted and was no longer waiting
    try:
        for kill in range(KILLS):
            demo.start()
            _send_and_kill(demo, ledger, SEED + kill, chance.uniform(0.02, 0.5))
            sink_process.settle()
            kills.append(time.time())
            ended.append(ledger.promised - _waiting(demo))
        demo.start()
        _wait_until_sent(demo)
        assert demo.stop() == 0
    finally:
        demo.kill()
    kept = sink_process.kept()
    assert {k.number for k in kept} >= ledger.promised, "lost"
    assert {k.number for k in kept} <= set(ledger.sent), "made up"
    doubles = _check_doubles(kept, kills, ended)
    print(
        f"{KILLS} kills: {len(ledger.promised)} accepted and delivered, {doubles} of {len(kept)} deliveries twice"
    )
    assert len(ledger.promised) > KILLS * 5, "the server took too little for this to prove anything"
    assert any(k.at < kills[-1] for k in kept), "nothing was on its way at any kill"


def _check_doubles(kept: list[Kept], kills: list[float], ended: list[set[int]]) -> int:
    """How many came again, each of them with good reason."""
    times: defaultdict[int, list[float]] = defaultdict(list)
    for k in kept:
        times[k.number].append(k.at)
    doubles = 0
    for number, at in times.items():
        for one, again in itertools.pairwise(at):
            doubles += 1
            between = [n for n, kill in enumerate(kills) if one < kill < again]
            assert between, f"message {number} came twice in one life of the server: {at}, killed at {kills}"
            assert number not in ended[between[0]], f"message {number} came again though its end was recorded"
            assert kills[between[0]] - one < LATE, f"the end of message {number} was recorded too late"
    return doubles


def _send_and_kill(demo: Demo, ledger: Ledger, seed: int, seconds: float) -> None:
    stop = threading.Event()
    threads = [
        threading.Thread(target=_until_gone, args=(demo, ledger, random.Random(seed * 100 + n), stop))
        for n in range(SENDERS)
    ]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    demo.kill()
    stop.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "a client hangs on a dead server"
    assert not ledger.faults, ledger.faults


def _until_gone(demo: Demo, ledger: Ledger, chance: random.Random, stop: threading.Event) -> None:
    """Hand in small messages to `number@sink.example`, one after another."""
    account = demo.accounts[0]
    try:
        with smtplib.SMTP(*demo.address("submission"), timeout=20) as client:
            client.login(account.address, account.password)
            while not stop.is_set():
                with ledger.lock:
                    ledger.count += 1
                    number = ledger.count
                content = f"From: {account.address}\r\nSubject: number {number};\r\n\r\n".encode()
                content += chance.randbytes(chance.choice((20, 1000, 20_000))).hex().encode() + b"\r\n"
                content = re.sub(rb"([0-9a-f]{70})", rb"\1\r\n", content)
                client.mail(account.address)
                client.rcpt(f"{number}@sink.example")
                ledger.sent[number] = content
                code, text = client.data(content)
                assert code == 250, f"message {number} got {code} {text!r}"
                ledger.promised.add(number)
    except GONE:
        pass
    except Exception as error:
        ledger.faults.append(repr(error))


def _waiting(demo: Demo) -> set[int]:
    """The numbers of the messages in the queue, read from the files that the dead server left."""
    connection = apsw.Connection(str(demo.data / "mail.sqlite"))
    connection.set_busy_timeout(10_000)
    try:
        rows = connection.execute("SELECT address FROM queue_recipients")
        return {int(address.partition("@")[0]) for (address,) in rows}
    finally:
        connection.close()


def _wait_until_sent(demo: Demo) -> None:
    deadline = time.monotonic() + 60
    while waiting := _waiting(demo):
        assert time.monotonic() < deadline, f"still waiting: {sorted(waiting)[:20]}"
        time.sleep(0.1)
