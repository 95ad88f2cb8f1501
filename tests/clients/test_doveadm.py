"""Moving to Dovecot over IMAP, and from it, with its own `doveadm`."""

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


def doveadm(run: Runner, dovecot: Path, person: Person, *command: str, code: int | None = 0) -> None:
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
    run("doveadm", "dovecot-core", "-c", str(settings), *command, "imapc:", code=code)


def kept(person: Person) -> dict[str, list[tuple[bytes, set[str]]]]:
    return {
        folder: list(zip(person.mail(folder), person.flags(folder), strict=True))
        for folder in FOLDERS
        if person.mail(folder)
    }


def test_doveadm_moves_mail_out_and_in_with_flags_and_keywords(
    alice: Person, bob: Person, run: Runner, dovecot: Path
) -> None:
    for folder in FOLDERS:
        alice.put(AWKWARD, folder=folder, flags="(\\Seen \\Answered)")
        alice.put(chinese(alice.address, bob.address), folder=folder, flags="($Forwarded Work)")
        alice.put(AWKWARD.replace(b"<awkward@", b"<unread@"), folder=folder)
    before = kept(alice)
    for _ in range(2):  # the second time there is nothing to do
        doveadm(run, dovecot, alice, "backup", "-R")
    assert len([*dovecot.rglob("new/*"), *dovecot.rglob("cur/*")]) == 3 * len(FOLDERS)
    with bob.imap() as client:
        for _ in range(20):  # so that his folders are the younger ones, though all are made within a second
            client.create("Passing")
            client.delete("Passing")
    doveadm(run, dovecot, bob, "sync", "-1", code=None)  # 2: it wants to be run again
    for _ in range(2):
        doveadm(run, dovecot, bob, "sync", "-1")
    assert kept(bob) == before == kept(alice)
