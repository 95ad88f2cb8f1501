"""Moving to Dovecot over IMAP, with its own `doveadm`."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from clients.mail import AWKWARD, FOLDER_UTF7, Person, Runner, chinese

FOLDERS = ("INBOX", "Work", "Work/2026", FOLDER_UTF7)


@pytest.fixture
def dovecot() -> Iterator[Path]:
    """A home for mail. Dovecot opens no mail as root, and nobody else may look into the folders of the tests."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        home.chmod(0o755)
        (home / "mail").mkdir()
        if os.getuid() == 0:
            shutil.chown(home / "mail", "nobody")
        yield home


def doveadm(run: Runner, dovecot: Path, person: Person, *command: str) -> None:
    host, port = person.demo.address("imap")
    user = "nobody" if os.getuid() == 0 else str(os.getuid())
    settings = dovecot / "dovecot.conf"
    settings.write_text(
        f"base_dir = {dovecot}/run\nstate_dir = {dovecot}/state\nlog_path = /dev/stderr\nssl = no\n"
        f"mail_home = {dovecot}/mail\nmail_location = maildir:{dovecot}/mail/Maildir:LAYOUT=fs\n"
        f"mail_uid = {user}\nmail_gid = {os.getgid() or 'nogroup'}\nfirst_valid_uid = 1\n"
        "namespace inbox {\n  inbox = yes\n  separator = /\n}\n"
        f"imapc_host = {host}\nimapc_port = {port}\n"
        f"imapc_user = {person.address}\nimapc_password = {person.password}\n"
    )
    run("doveadm", "dovecot-core", "-c", str(settings), *command, "imapc:")


FLAGS = {"S": "\\Seen", "R": "\\Answered"}


def sent(person: Person, folder: str) -> list[tuple[bytes, list[str]]]:
    return sorted(zip(person.mail(folder), map(sorted, person.flags(folder)), strict=True))


def arrived(maildir: Path) -> list[tuple[bytes, list[str]]]:
    """The messages of a maildir with their flags, keywords by the letters that Dovecot gave them."""
    numbered = (line.split(" ", 1) for line in (maildir / "dovecot-keywords").read_text().splitlines())
    names = FLAGS | {chr(ord("a") + int(number)): keyword for number, keyword in numbered}
    return sorted(
        (content, sorted(names[letter] for letter in file.name.partition(":2,")[2]))
        for file in [*maildir.glob("new/*"), *maildir.glob("cur/*")]
        for content in [file.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")]
    )


def test_doveadm_takes_mail_with_flags_and_keywords(
    alice: Person, bob: Person, run: Runner, dovecot: Path
) -> None:
    for folder in FOLDERS:
        alice.put(AWKWARD, folder=folder, flags="(\\Seen \\Answered)")
        alice.put(chinese(alice.address, bob.address), folder=folder, flags="($Forwarded Work)")
        alice.put(AWKWARD.replace(b"<awkward@", b"<unread@"), folder=folder)
    maildir = dovecot / "mail/Maildir"
    for _ in range(2):  # the second time there is nothing to do
        doveadm(run, dovecot, alice, "backup", "-R")
        assert {folder: arrived(maildir / folder.removeprefix("INBOX")) for folder in FOLDERS} == {
            folder: sent(alice, folder) for folder in FOLDERS
        }
