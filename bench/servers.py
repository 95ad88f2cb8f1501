"""The two sides of each measurement: the reference pair (Postfix and Dovecot) and Mailwright."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Protocol

from support.demo import ROOT, Account, Demo, mailwright_command, source_path

PEERS = ROOT.parent / "shared" / "peers"
PEERS_DATA = Path(
    os.environ.get("MAILWRIGHT_PEERS_DATA", "/tmp/peers")
)  # where `up` keeps its files by default


class Server(Protocol):
    """One side: where it listens, who can log in, and what it costs."""

    name: str

    def accounts(self, count: int) -> list[Account]:
        """Accounts whose mailboxes are empty."""
        ...

    def address(self, service: str) -> tuple[str, int]:
        """Host and port of `smtp`, `imap` or `imaps`."""
        ...

    def pids(self) -> list[int]:
        """All its processes."""
        ...

    def disk(self, account: Account) -> int:
        """Octets that the disk gives for the account's mail, everything written out."""
        ...

    def settle(self) -> None:
        """Give back memory that earlier measurements left behind."""
        ...

    def rest(self) -> None:
        """Wait until it is at rest."""
        ...


class Pair:
    """Postfix and Dovecot, each with its own processes and its own spool."""

    name = "pair"
    _users = 0

    def __init__(self) -> None:
        self._started = False

    def start(self) -> None:
        """Start the pair unless it runs already. Raises RuntimeError that says why it cannot."""
        if _answers(2025) and _answers(2143):
            return
        script = PEERS / "up"
        if not script.exists():
            raise RuntimeError(f"{script} is missing")
        if os.geteuid() != 0:
            raise RuntimeError("Postfix and Dovecot start only as root")
        done = subprocess.run([str(script), str(PEERS_DATA)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{script} failed: {(done.stderr or done.stdout).strip()[-400:]}")
        self._started = True

    def stop(self) -> None:
        """Stop the pair if `start` started it."""
        if self._started:
            subprocess.run([str(PEERS / "down"), str(PEERS_DATA)], capture_output=True, check=False)
            self._started = False

    def accounts(self, count: int) -> list[Account]:
        first = Pair._users or int.from_bytes(os.urandom(3), "big") * 1000
        Pair._users = first + count
        return [Account(f"user{first + n}@bench.test", "pw") for n in range(count)]

    def address(self, service: str) -> tuple[str, int]:
        return "127.0.0.1", {"smtp": 2025, "relay": 2025, "imap": 2143}[service]

    def pids(self) -> list[int]:
        files = (PEERS_DATA / "dovecot/run/master.pid", PEERS_DATA / "postfix/spool/pid/master.pid")
        return _families([int(file.read_text()) for file in files if file.exists()])

    def disk(self, account: Account) -> int:
        return _disk_usage(PEERS_DATA / "dovecot/mail" / account.address.partition("@")[0])

    def settle(self) -> None:
        """Each session has a process of its own, which ends with it."""

    def rest(self) -> None:
        _wait_for_rest(self.pids())


class Ours:
    """A demo server on fresh data; `fresh` begins again with empty mailboxes."""

    name = "ours"

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="mailwright-bench-"))
        self._count = 0
        self._given = 0
        self._empty = 0
        self.demo: Demo | None = None

    @staticmethod
    def version() -> str:
        """What `mailwright version` says: the release, and whether the pure rooms are compiled."""
        environment = {**os.environ, **source_path()}
        done = subprocess.run(
            [*mailwright_command(), "version"], capture_output=True, text=True, env=environment, check=False
        )
        return " ".join((done.stdout or done.stderr).split())[:200]

    def start(self) -> None:
        self.fresh()

    def fresh(self, *options: str) -> None:
        """Stop what runs and start on new data, with more options for the demo."""
        self._drop()
        self._count += 1
        self.demo = Demo(self._folder / f"data{self._count}", options=options).start()
        self._given = 0
        self._empty = self._settled_size()

    def stop(self) -> None:
        self._drop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def accounts(self, count: int) -> list[Account]:
        """The demo has two accounts; when they are used up, a new demo begins."""
        assert self.demo is not None, "not started"
        if self._given + count > len(self.demo.accounts):
            self.fresh()
        accounts = self.demo.accounts[self._given : self._given + count]
        if len(accounts) < count:
            raise RuntimeError(f"the demo has {len(self.demo.accounts)} accounts, {count} are needed")
        self._given += count
        return accounts

    def address(self, service: str) -> tuple[str, int]:
        assert self.demo is not None, "not started"
        return self.demo.address(service)

    def pids(self) -> list[int]:
        assert self.demo is not None, "not started"
        return _families([self.demo.pid])

    def disk(self, account: Account) -> int:
        return self._settled_size() - self._empty

    def settle(self) -> None:
        """A new process with the same data."""
        assert self.demo is not None, "not started"
        self.demo.stop()
        self.demo.start()

    def rest(self) -> None:
        _wait_for_rest(self.pids())

    def _settled_size(self) -> int:
        """The size of the data after a clean stop, when the write-ahead log is folded in."""
        assert self.demo is not None, "not started"
        self.demo.stop()
        size = _disk_usage(self.demo.data)
        self.demo.start()
        return size

    def _drop(self) -> None:
        if self.demo is not None:
            if self.demo.running():
                self.demo.stop()
            shutil.rmtree(self.demo.data, ignore_errors=True)
            self.demo = None


def proportional_memory(pids: list[int]) -> int:
    """The sum of the processes' PSS in octets: a page shared by n of them counts 1/n for each.

    Pages of files are left out: they cost less or more as others who map the same libraries come and go.
    """
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:  # it ended meanwhile
            continue
        total += sum(
            int(line.split()[1]) * 1024 for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:"))
        )
    return total


def processor_time(pids: list[int]) -> float:
    """Seconds that the processes have run, in user and in system mode."""
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _wait_for_rest(pids: list[int], seconds: float = 200) -> None:
    """Wait until the processes use less than a twentieth of a processor. Raises RuntimeError."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        before = processor_time(pids)
        time.sleep(0.4)
        if processor_time(pids) - before < 0.02:
            return
    raise RuntimeError(f"no rest within {seconds:.0f} s")


def peak_memory(pid: int) -> int:
    """The most memory (VmHWM, octets) that the process ever had resident."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _families(roots: list[int]) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], list(roots)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def _disk_usage(folder: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
