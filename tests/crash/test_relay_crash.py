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
from crash.senders import GONE, Ledger, wait_for_some
from support.demo import Demo

KILLS = 50
SEED = 5321
SENDERS = 4
LATE = 10.0  # seconds at the most from a final reply until the end is recorded, however busy the machine is


@dataclass(frozen=True)
class Kept:
    """A message that the sink took, and when by the clock that all processes share."""

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
        with smtplib.SMTP("127.0.0.1", self.port, timeout=120) as client:
            assert client.docmd("WAIT")[0] == 250

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


@dataclass(frozen=True)
class Kill:
    """When the server was killed, when the sink had read what it had sent, and what was not waiting any more."""

    at: float
    settled_at: float
    ended: set[int]


@pytest.fixture
def sink_process(tmp_path: Path) -> Iterator[SinkProcess]:
    process = SinkProcess(tmp_path)
    yield process
    process.stop()


def test_nothing_that_was_accepted_is_lost_on_its_way(tmp_path: Path, sink_process: SinkProcess) -> None:
    demo = Demo(tmp_path / "data", options=("--smarthost", f"127.0.0.1:{sink_process.port}"))
    ledger, chance = Ledger(), random.Random(SEED)
    kills: list[Kill] = []
    try:
        for kill in range(KILLS):
            demo.start()
            killed_at = _send_and_kill(demo, ledger, SEED + kill, chance)
            sink_process.settle()
            kills.append(Kill(killed_at, time.monotonic(), ledger.promised - _waiting(demo)))
        demo.start()
        _wait_until_sent(demo)
        assert demo.stop() == 0
    finally:
        demo.kill()
    kept = sink_process.kept()
    assert {k.number for k in kept} >= ledger.promised, "lost"
    assert {k.number for k in kept} <= set(ledger.sent), "made up"
    doubles = _check_doubles(kept, kills)
    print(
        f"{KILLS} kills: {len(ledger.promised)} accepted and delivered, {doubles} of {len(kept)} deliveries twice"
    )
    assert len(ledger.promised) > KILLS * 5, "the server took too little for this to prove anything"
    assert any(k.at < kills[-1].at for k in kept), "nothing was on its way at any kill"
    assert doubles < len(kept) / 2, "hardly an end was recorded before a kill"


def _check_doubles(kept: list[Kept], kills: list[Kill]) -> int:
    """How many came again, each of them with good reason."""
    times: defaultdict[int, list[Kept]] = defaultdict(list)
    by_connection: defaultdict[int, list[int]] = defaultdict(list)
    for k in kept:
        times[k.number].append(k)
        by_connection[k.connection].append(k.number)
    doubles = 0
    for number, came in times.items():
        for one, again in itertools.pairwise(came):
            doubles += 1
            between = [kill for kill in kills if one.at < kill.settled_at < again.at]
            assert between, f"message {number} came twice in one life of the server: {came}"
            kill, connection = between[0], by_connection[one.connection]
            assert number not in kill.ended, f"message {number} came again though its end was recorded"
            assert kill.at - one.at < LATE, f"the end of message {number} was recorded too late"
            later = kill.ended.intersection(connection[connection.index(number) + 1 :])
            assert not later, f"the end of message {number} was not recorded, but those of {later} behind it"
    return doubles


def _send_and_kill(demo: Demo, ledger: Ledger, seed: int, chance: random.Random) -> float:
    """When it was killed."""
    stop = threading.Event()
    threads = [
        threading.Thread(target=_until_gone, args=(demo, ledger, random.Random(seed * 100 + n), stop))
        for n in range(SENDERS)
    ]
    for thread in threads:
        thread.start()
    wait_for_some(ledger, chance)
    killed_at = time.monotonic()
    demo.kill()
    stop.set()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "a client hangs on a dead server"
    assert not ledger.faults, ledger.faults
    return killed_at


def _until_gone(demo: Demo, ledger: Ledger, chance: random.Random, stop: threading.Event) -> None:
    """Hand in small messages to `number@sink.example`, one after another."""
    account = demo.accounts[0]
    try:
        with smtplib.SMTP(*demo.address("submission"), timeout=60) as client:
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
    connection.set_busy_timeout(60_000)
    try:
        rows = connection.execute("SELECT address FROM queue_recipients")
        return {int(address.partition("@")[0]) for (address,) in rows}
    finally:
        connection.close()


def _wait_until_sent(demo: Demo) -> None:
    deadline = time.monotonic() + 180
    while waiting := _waiting(demo):
        assert time.monotonic() < deadline, f"still waiting: {sorted(waiting)[:20]}"
        time.sleep(0.1)
