"""The memory of a server that many clients send large messages to at once is bounded."""

from __future__ import annotations

import imaplib
from pathlib import Path

from support.demo import Demo
from support.upload import send_at_once

MEGABYTE = 1 << 20
CONNECTIONS = 40
SIZE = 5 * MEGABYTE
# What a message takes while it is on its way (`Limits.memory_per_message` and `read_ahead`), twice over because it is
# copied from buffer to buffer, for each connection; and for all of them the messages that are being parsed and the
# database's own caches.
BOUND = CONNECTIONS * 2 * 320 * 1024 + 2 * SIZE + 80 * MEGABYTE


def resident(pid: int, what: str) -> int:
    """`VmRSS` or `VmHWM` (the peak) of a process in octets."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{what}:"))


def test_large_messages_do_not_fill_the_memory(tmp_path: Path) -> None:
    demo = Demo(tmp_path / "data").start()
    try:
        account = demo.accounts[0]
        at_rest = resident(demo.pid, "VmRSS")
        send_at_once(demo.address("smtp"), account.address, CONNECTIONS, SIZE)
        taken = resident(demo.pid, "VmHWM") - at_rest
        print(
            f"{CONNECTIONS} messages of {SIZE // MEGABYTE} MB at once took {taken / MEGABYTE:.0f} MB of memory"
        )
        assert taken < BOUND
        with imaplib.IMAP4(*demo.address("imap")) as client:
            client.login(account.address, account.password)
            assert client.select()[1] == [b"%d" % CONNECTIONS]
    finally:
        demo.kill()
