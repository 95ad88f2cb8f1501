"""SIGKILL at seeded moments while mail comes in over many connections.

After each new start, read over IMAP: every message that got 250 (or OK to APPEND) is there exactly once, octet for
octet. A message whose answer was lost with the server is there at most once, and whole. Nothing else is there. UIDs
and UIDVALIDITY stay as they were.
"""

from __future__ import annotations

import hashlib
import imaplib
import random
import re
import threading
import time
from collections import Counter
from pathlib import Path

from crash.senders import Ledger, number_of, send, wait_for_some
from support.demo import Demo

KILLS = 50
SEED = 5321
_TRACE = re.compile(
    rb"(?:(?:Return-Path|Delivered-To|Received|Authentication-Results): [^\r]*\r\n(?:[ \t][^\r]*\r\n)*)*"
)


class Mailbox:
    """What IMAP says of INBOX, remembered from start to start."""

    def __init__(self) -> None:
        self.validity: bytes | None = None
        self.digests: dict[int, bytes] = {}  # by UID
        self.numbers: dict[int, int] = {}  # UID -> number of the message

    def read(self, demo: Demo, ledger: Ledger, since: int) -> None:
        """Read the messages from UID `since` on and compare each with what was sent."""
        client = imaplib.IMAP4(*demo.address("imap"), timeout=60)
        client.login(demo.accounts[0].address, demo.accounts[0].password)
        client.select("INBOX", readonly=True)
        validity = client.response("UIDVALIDITY")[1][0]
        assert self.validity in (None, validity), "UIDVALIDITY changed"
        self.validity = validity
        _, uids = client.uid("SEARCH", f"UID {since}:*")
        for uid in (int(word) for word in uids[0].split() if int(word) >= since):
            _, data = client.uid("FETCH", str(uid), "(BODY.PEEK[])")
            content = data[0][1]
            assert isinstance(content, bytes)
            self._compare(uid, content, ledger)
        client.logout()

    def _compare(self, uid: int, content: bytes, ledger: Ledger) -> None:
        number = number_of(content)
        sent = ledger.sent[number]
        assert content.endswith(sent), f"message {number} (UID {uid}) was changed"
        assert _TRACE.fullmatch(content[: -len(sent)]), content[: -len(sent)]
        digest = hashlib.sha256(content).digest()
        assert self.digests.setdefault(uid, digest) == digest, f"UID {uid} has another content now"
        self.numbers[uid] = number


def test_nothing_that_was_promised_is_lost(tmp_path: Path) -> None:
    demo, ledger, mailbox = Demo(tmp_path / "data"), Ledger(), Mailbox()
    chance = random.Random(SEED)
    try:
        for kill in range(KILLS):
            if kill % 5 == 4:
                _kill_while_starting(demo, chance)
            demo.start()
            mailbox.read(demo, ledger, max(mailbox.numbers, default=0) + 1)
            _check(mailbox, ledger)
            _send_and_kill(demo, ledger, kill, chance)
        demo.start()
        mailbox.numbers.clear()
        mailbox.read(demo, ledger, 1)  # all of them once more
        _check(mailbox, ledger)
        assert demo.stop() == 0
    finally:
        demo.kill()
    there = set(mailbox.numbers.values())
    print(
        f"{KILLS} kills while receiving, {KILLS // 5} while starting: {len(ledger.promised)} promised and kept;"
        f" {len(there - ledger.promised)} kept whose answer was lost, {len(set(ledger.sent) - there)} neither"
    )
    assert len(ledger.promised) > KILLS * 5, "the server took too little for this to prove anything"
    assert len(ledger.sent) > len(ledger.promised), "no kill hit a message on its way"


def _send_and_kill(demo: Demo, ledger: Ledger, seed: int, chance: random.Random) -> None:
    stop = threading.Event()
    threads = send(demo, ledger, SEED + seed, stop)
    wait_for_some(ledger, chance)
    demo.kill()
    stop.set()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "a client hangs on a dead server"
    assert not ledger.faults, ledger.faults


def _kill_while_starting(demo: Demo, chance: random.Random) -> None:
    demo.launch()
    time.sleep(chance.uniform(0.05, 0.8))
    demo.kill()


def _check(mailbox: Mailbox, ledger: Ledger) -> None:
    found = Counter(mailbox.numbers.values())
    assert max(found.values(), default=1) == 1, (
        f"there twice: {[n for n, times in found.items() if times > 1]}"
    )
    assert not ledger.promised - set(found), f"lost: {sorted(ledger.promised - set(found))}"
    by_number = {number: uid for uid, number in mailbox.numbers.items()}
    wrong = {number for number, uid in ledger.uids.items() if by_number[number] != uid}
    assert not wrong, f"APPENDUID said something else of {wrong}"
