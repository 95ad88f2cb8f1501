"""The demo server as a process of its own, for tests with real clients, crash tests and the benchmarks."""

from __future__ import annotations

import itertools
import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
IN_USE = "address already in use"
PORTS = 8  # the services take so many ports, from the base port on


@dataclass(frozen=True)
class Account:
    """Who can log in."""

    address: str
    password: str


class Demo:
    """`mailwright demo` with its data in `data`; start, kill and start it again at will.

    The ports stay the same for the life of this object. `prefix` goes before the command, as `prlimit --fsize=...`
    does, `options` after it.
    """

    def __init__(
        self, data: Path, base_port: int = 0, prefix: tuple[str, ...] = (), options: tuple[str, ...] = ()
    ) -> None:
        self.data = data
        self.chosen = not base_port  # by us, who may choose again as long as nobody was told
        self.base_port = base_port or free_base_port()
        self.prefix = prefix
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None
        self.log = data.parent / f"{data.name}.log"
        self.ready: dict[str, Any] = {}

    def start(self, timeout: float = 120.0) -> Demo:
        """Start the server and wait until it says that it is ready."""
        while not (line := _read_line(self.launch(), timeout)):
            self.kill()
            said = self.log.read_text()[-4000:]
            if self.ready or not self.chosen or IN_USE not in said:
                raise RuntimeError(f"the demo server did not start; its last words:\n{said}")
            self.base_port = free_base_port()  # somebody was quicker
            self.log.unlink()
        self.ready = json.loads(line)
        return self

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the server and do not wait."""
        command = [*self.prefix, *mailwright_command(), "demo", "--data", str(self.data)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--base-port", str(self.base_port), "--json", *self.options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **source_path()},
                cwd=self.data.parent,
            )
        return self.process

    @property
    def pid(self) -> int:
        assert self.process is not None, "not started"
        return self.process.pid

    @property
    def accounts(self) -> list[Account]:
        return [Account(account["address"], account["password"]) for account in self.ready["accounts"]]

    def address(self, service: str) -> tuple[str, int]:
        """Host and port of a service: `smtp`, `submission`, `imaps`, ... (the keys of the ready line)."""
        host, _, port = self.ready[service].rpartition(":")
        return host.strip("[]"), int(port)

    def port(self, service: str) -> int:
        return self.address(service)[1]

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL: no word of farewell, nothing flushed."""
        if self.process is not None:
            self.process.kill()
            self._reap()

    def stop(self, timeout: float = 60.0) -> int:
        """Ctrl-C, and the exit code."""
        assert self.process is not None, "not started"
        process = self.process
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self._reap()
        return process.returncode

    def _reap(self) -> None:
        if self.process is not None:
            self.process.wait()
            if self.process.stdout is not None:
                self.process.stdout.close()
            self.process = None


def mailwright_command() -> list[str]:
    """How to call the `mailwright` of this environment: MAILWRIGHT, the installed script, else the source."""
    if named := os.environ.get("MAILWRIGHT"):
        return named.split()
    installed = Path(sys.executable).with_name("mailwright")
    if installed.exists():
        return [str(installed)]
    return [sys.executable, "-c", "from mailwright.cli import main; main()"]


def source_path() -> dict[str, str]:
    """The environment that `mailwright_command` needs when nothing is installed."""
    return {"PYTHONPATH": str(ROOT / "src")} if "-c" in mailwright_command() else {}


def free_base_port() -> int:
    """A base port that leaves every service a free port, below those that the kernel hands out."""
    return _first_free(_BASE_PORTS, PORTS)


def free_port() -> int:
    """A port that nobody else is given, also while nothing listens there."""
    return _first_free(_SINGLE_PORTS, 1)


def _turns(ports: range) -> Iterator[int]:
    """The ports of `ports` that are for this worker of pytest-xdist, one after another, from a random one on."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    mine = ports[int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) :: workers]
    start = random.randrange(len(mine))
    return itertools.cycle((*mine[start:], *mine[:start]))


_BASE_PORTS = _turns(range(10_000, 20_000, PORTS))
_SINGLE_PORTS = _turns(range(20_000, 32_000))


def _first_free(bases: Iterator[int], count: int) -> int:
    for base in itertools.islice(bases, 200):
        if all(_is_free(base + number) for number in range(count)):
            return base
    raise RuntimeError("no free port found")


def require(program: str, package: str) -> str:
    """The path of a program, or skip the test and name the Debian package that has it."""
    import pytest

    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is missing: install Debian's package {package}")
    return path


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _read_line(process: subprocess.Popen[bytes], timeout: float) -> bytes:
    assert process.stdout is not None
    line, deadline = b"", time.monotonic() + timeout
    while not line.endswith(b"\n") and time.monotonic() < deadline:
        if not select.select([process.stdout], [], [], 0.1)[0]:
            continue
        data = os.read(process.stdout.fileno(), 65536)
        if not data:
            return b""
        line += data
    return line
