"""Clients that put mail into a server and note what it promised, until the server goes away under them."""

from __future__ import annotations

import imaplib
import random
import re
import smtplib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from support.demo import Account, Demo

GONE = (OSError, smtplib.SMTPServerDisconnected, imaplib.IMAP4.abort)
SIZES = (300, 3_000, 3_000, 20_000, 90_000, 400_000)  # the last one is spilled to a file and kept in chunks


@dataclass
class Ledger:
    """What was promised. A message is known by the number in its subject."""

    sent: dict[int, bytes] = field(
        default_factory=dict
    )  # handed over to the last octet; the answer may be lost
    promised: set[int] = field(default_factory=set)  # 250 or OK was read
    uids: dict[int, int] = field(default_factory=dict)  # what APPENDUID said
    faults: list[str] = field(default_factory=list)  # answers that must not be
    lock: threading.Lock = field(default_factory=threading.Lock)
    count: int = 0

    def new_message(self, chance: random.Random) -> tuple[int, bytes]:
        with self.lock:
            self.count += 1
            number = self.count
        size = chance.choice(SIZES)
        lines = [f"Subject: number {number};", "From: sender@example.org", "To: alice@demo.test", ""]
        body = chance.randbytes(size // 2).hex()
        lines += [("." if n % 3 else "") + body[n * 70 : n * 70 + 70] for n in range(len(body) // 70 + 1)]
        return number, "\r\n".join(lines).encode() + b"\r\n"


def wait_for_some(ledger: Ledger, chance: random.Random) -> None:
    """Until some more messages are promised, and a little longer: a moment that comes at any speed."""
    enough = len(ledger.promised) + chance.choice((0, 2, 6, 10, 14))
    deadline = time.monotonic() + 120
    while len(ledger.promised) < enough:
        assert time.monotonic() < deadline, f"the server takes nothing: {ledger.faults}"
        time.sleep(0.001)
    time.sleep(chance.uniform(0.0, 0.05))


def number_of(content: bytes) -> int:
    """The number of a message found in a mailbox."""
    found = re.search(rb"^Subject: number (\d+);", content, re.MULTILINE)
    assert found, content[:300]
    return int(found[1])


def send(demo: Demo, ledger: Ledger, seed: int, stop: threading.Event) -> list[threading.Thread]:
    """Start clients of every kind: SMTP on kept and on new connections, LMTP, APPEND."""
    kinds = (_smtp_kept, _smtp_kept, _smtp_new, _lmtp, _append, _append)
    threads = [
        threading.Thread(target=_until_gone, args=(kind, demo, ledger, random.Random(seed * 100 + n), stop))
        for n, kind in enumerate(kinds)
    ]
    for thread in threads:
        thread.start()
    return threads


def _until_gone(
    kind: Callable[[Demo, Ledger, random.Random, threading.Event], None],
    demo: Demo,
    ledger: Ledger,
    chance: random.Random,
    stop: threading.Event,
) -> None:
    try:
        kind(demo, ledger, chance, stop)
    except GONE:
        pass
    except Exception as error:
        ledger.faults.append(f"{kind.__name__}: {error!r}")


def _smtp_kept(demo: Demo, ledger: Ledger, chance: random.Random, stop: threading.Event) -> None:
    with smtplib.SMTP(*demo.address("smtp"), timeout=60) as client:
        client.ehlo()
        while not stop.is_set():
            _transaction(client, ledger, chance, demo.accounts[0])


def _smtp_new(demo: Demo, ledger: Ledger, chance: random.Random, stop: threading.Event) -> None:
    while not stop.is_set():
        with smtplib.SMTP(*demo.address("smtp"), timeout=60) as client:
            client.ehlo()
            _transaction(client, ledger, chance, demo.accounts[0])


def _lmtp(demo: Demo, ledger: Ledger, chance: random.Random, stop: threading.Event) -> None:
    with smtplib.LMTP(*demo.address("lmtp")) as client:
        client.ehlo()
        while not stop.is_set():
            _transaction(client, ledger, chance, demo.accounts[0])


def _transaction(client: smtplib.SMTP, ledger: Ledger, chance: random.Random, to: Account) -> None:
    number, content = ledger.new_message(chance)
    client.mail("sender@example.org")
    client.rcpt(to.address)
    ledger.sent[number] = content
    code, text = client.data(content)
    if code != 250:
        raise AssertionError(f"message {number} got {code} {text!r}")
    ledger.promised.add(number)


def _append(demo: Demo, ledger: Ledger, chance: random.Random, stop: threading.Event) -> None:
    client = imaplib.IMAP4(*demo.address("imap"), timeout=60)
    client.login(demo.accounts[0].address, demo.accounts[0].password)
    while not stop.is_set():
        number, content = ledger.new_message(chance)
        ledger.sent[number] = content
        answer, data = client.append("INBOX", None, None, content)
        if answer != "OK":
            raise AssertionError(f"message {number} got {answer} {data!r}")
        ledger.promised.add(number)
        if found := re.search(rb"APPENDUID \d+ (\d+)", data[0]):
            ledger.uids[number] = int(found[1])
    client.shutdown()
