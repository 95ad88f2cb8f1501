"""POP3 and IMAP on one mailbox at the same time."""

from __future__ import annotations

import shlex
import threading
from pathlib import Path

from clients.mail import Person, Runner, bodies, certificate
from clients.synchronisers import mbsync
from imapclient import IMAPClient


def numbered(number: int) -> bytes:
    return f"From: a@demo.test\r\nSubject: 第{number}封\r\n\r\nmessage {number:03}\r\n".encode()


def keep_coming(person: Person) -> None:
    for number in range(60, 90):
        person.put(numbered(number))


def test_nothing_is_lost_or_doubled(alice: Person, run: Runner, tmp_path: Path) -> None:
    """A phone idles, fetchmail takes by POP3 what it finds, mbsync synchronises, and mail keeps coming."""
    alice.put(*(numbered(n) for n in range(60)))
    taken = tmp_path / "taken"
    taken.mkdir()
    settings = run.settings(
        "fetchmailrc",
        f"poll localhost protocol pop3 port {alice.demo.port('pop3s')} user {alice.address!r} "
        f"password {alice.password!r} nokeep fetchall ssl sslcertck sslcertfile {certificate(alice.demo)!r} "
        f"mda {shlex.quote(f'cat > {taken}/$$')}\n",
    )
    phone = IMAPClient(*alice.demo.address("imap"), ssl=False)
    phone.login(alice.address, alice.password)
    seen = phone.select_folder("INBOX")[b"EXISTS"]
    phone.idle()
    coming = threading.Thread(target=keep_coming, args=(alice,))
    syncing = threading.Thread(target=mbsync, args=(run, alice, tmp_path))
    coming.start()
    syncing.start()
    run("fetchmail", "fetchmail", "-f", settings, "--pidfile", str(tmp_path / "pid"), "--nobounce")
    syncing.join()
    coming.join()

    left = [content.partition(b"\r\n\r\n")[2] for content in alice.mail()]
    fetched = [file.read_bytes().partition(b"\n\n")[2] for file in taken.iterdir()]
    everything = sorted([*left, *(body.replace(b"\n", b"\r\n") for body in fetched)])
    assert everything == [b"message %03d\r\n" % n for n in range(90)]
    assert len(fetched) >= 60

    said = [*phone.idle_check(timeout=5), *phone.idle_done()[1], *phone.noop()[1]]
    for number, word in (line[:2] for line in said if len(line) >= 2 and isinstance(line[0], int)):
        seen = seen - 1 if word == b"EXPUNGE" else number if word == b"EXISTS" else seen
    assert seen == len(left)
    phone.logout()

    mbsync(run, alice, tmp_path)
    assert bodies(tmp_path / "mail" / "INBOX") == sorted(left)
