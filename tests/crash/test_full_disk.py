"""A real server on a disk that is full: temporary errors, reads served, and no restart needed once there is room."""

from __future__ import annotations

import imaplib
import os
import poplib
import smtplib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.demo import Demo

MEGABYTE = 1 << 20
SIZE = 96 * MEGABYTE
ROOM = MEGABYTE  # what the filled disk has left


class SmallDisk:
    """A file system of its own that can be filled and emptied again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        state = os.statvfs(self.folder)
        with self._ballast.open("wb") as ballast:
            ballast.write(bytes(state.f_bavail * state.f_frsize - ROOM))

    def empty(self) -> None:
        self._ballast.unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root may mount a small file system")
    yield SmallDisk(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def demo(small_disk: SmallDisk) -> Iterator[Demo]:
    demo = Demo(small_disk.folder / "data").start()
    yield demo
    demo.kill()


def test_a_full_disk_is_a_temporary_matter(demo: Demo, small_disk: SmallDisk) -> None:
    kept: list[bytes] = []
    _fill_with_mail(demo, small_disk, kept)
    _refusals(demo, kept)
    _reads(demo, kept)
    small_disk.empty()
    assert _send(demo, b"there is room again", kept)[0] == 250
    assert _append(demo, b"here too", kept) == "OK"
    _reads(demo, kept)
    demo.kill()
    demo.start()
    _reads(demo, kept)


def _fill_with_mail(demo: Demo, disk: SmallDisk, kept: list[bytes]) -> None:
    """Messages of 100 KB until one is refused."""
    assert _send(demo, b"before", kept)[0] == 250
    disk.fill()
    for number in range(200):
        code, text = _send(demo, b"filling %d" % number, kept, os.urandom(50_000).hex().encode())
        if code != 250:
            assert code == 452, (code, text)
            assert text.startswith(b"4.3.1 "), text
            return
    pytest.fail("the disk took more than it has room for")


def _refusals(demo: Demo, kept: list[bytes]) -> None:
    """Large and small, by SMTP, LMTP and IMAP: each is refused for now, and the connection stays."""
    for size in (1_000_000, 10 * MEGABYTE):
        assert _send(demo, b"too large", kept, os.urandom(size // 2).hex().encode())[0] == 452
    with smtplib.LMTP(*demo.address("lmtp")) as client:
        client.ehlo()
        client.mail("sender@example.org")
        client.rcpt(demo.accounts[0].address)
        assert client.data(_message(b"LMTP", os.urandom(MEGABYTE).hex().encode()))[0] in (451, 452)
        assert client.noop()[0] == 250
    assert _append(demo, b"too large", kept, os.urandom(MEGABYTE).hex().encode()) == "NO"


def _reads(demo: Demo, kept: list[bytes]) -> None:
    """What was promised is there, by IMAP and POP3, and nothing more."""
    account = demo.accounts[0]
    imap = imaplib.IMAP4(*demo.address("imap"), timeout=120)
    imap.login(account.address, account.password)
    imap.select("INBOX")
    _, data = imap.fetch("1:*", "(BODY.PEEK[])")
    contents = [part[1] for part in data if isinstance(part, tuple)]
    assert len(contents) == len(kept)
    assert all(content.endswith(sent) for content, sent in zip(contents, kept, strict=True))
    imap.logout()
    pop3 = poplib.POP3(*demo.address("pop3"), timeout=120)
    pop3.user(account.address)
    pop3.pass_(account.password)
    assert pop3.stat()[0] == len(kept)
    assert b"\r\n".join(pop3.retr(1)[1]) + b"\r\n" == contents[0]
    pop3.quit()


def _send(demo: Demo, subject: bytes, kept: list[bytes], body: bytes = b"") -> tuple[int, bytes]:
    """Send a message; the reply to its data. The connection must go on working."""
    message = _message(subject, body)
    with smtplib.SMTP(*demo.address("smtp"), timeout=120) as client:
        client.ehlo()
        replies = [client.mail("sender@example.org"), client.rcpt(demo.accounts[0].address)]
        refused = [reply for reply in replies if reply[0] != 250]
        reply = refused[0] if refused else client.data(message)
        assert client.noop()[0] == 250
    if reply[0] == 250:
        kept.append(message)
    return reply


def _append(demo: Demo, subject: bytes, kept: list[bytes], body: bytes = b"") -> str:
    message = _message(subject, body)
    with imaplib.IMAP4(*demo.address("imap"), timeout=120) as client:
        client.login(demo.accounts[0].address, demo.accounts[0].password)
        answer, _ = client.append("INBOX", None, None, message)
        assert client.noop()[0] == "OK"
    if answer == "OK":
        kept.append(message)
    return answer


def _message(subject: bytes, body: bytes) -> bytes:
    lines = [body[start : start + 76] for start in range(0, len(body), 76)]
    return b"\r\n".join([b"Subject: " + subject, b"", *lines]) + b"\r\n"
