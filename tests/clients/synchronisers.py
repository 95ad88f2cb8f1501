"""mbsync and offlineimap, which keep mailboxes and maildirs alike."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from clients.mail import Person, Runner, certificate


def mbsync(run: Runner, alice: Person, tmp_path: Path, *, tls: str = "None", patterns: str = "*") -> str:
    """Synchronise both ways; what it says of the work done."""
    service = "imaps" if tls == "IMAPS" else "imap"
    settings = run.settings(
        "mbsyncrc",
        f"IMAPAccount demo\nHost localhost\nPort {alice.demo.port(service)}\nUser {alice.address}\n"
        f"Pass {alice.password}\nSSLType {tls}\nCertificateFile {certificate(alice.demo)}\n"
        + ("AuthMechs LOGIN\n" if tls == "None" else "")
        + f"\nIMAPStore far\nAccount demo\n\nMaildirStore near\nPath {tmp_path}/mail/\nInbox {tmp_path}/mail/INBOX\n"
        f"SubFolders Verbatim\n\nChannel both\nFar :far:\nNear :near:\nPatterns {patterns}\nCreate Both\nRemove Both\n"
        "Expunge Both\nSyncState *\n",
    )
    (tmp_path / "mail").mkdir(exist_ok=True)
    return run("mbsync", "isync", "-D", "-c", settings, "-a").decode("utf-8", "replace")


def transferred(said: str) -> Counter[str]:
    """How many messages mbsync fetched, appended and flagged, by the commands that it sent."""
    commands = re.findall(r">>> \d+ (?:UID )?(FETCH \d+ \(?BODY\.PEEK\[\]|APPEND|STORE)", said)
    assert ">>> " in said, said
    return Counter(command.split()[0] for command in commands)


def offlineimap(run: Runner, person: Person, settings: str = "") -> str:
    """Synchronise both ways; what it says of the work done. `settings` are of the IMAP side."""
    file = run.settings(
        "offlineimaprc",
        f"[general]\naccounts = demo\nmetadata = {run.home}/offlineimap\n\n"
        "[Account demo]\nlocalrepository = near\nremoterepository = far\nutf8foldernames = yes\n\n"
        f"[Repository near]\ntype = Maildir\nlocalfolders = {run.home}/mail\nsep = /\n\n"
        f"[Repository far]\ntype = IMAP\nremotehost = localhost\nremoteport = {person.demo.port('imaps')}\n"
        f"remoteuser = {person.address}\nremotepass = {person.password}\nssl = yes\n"
        f"sslcacertfile = {certificate(person.demo)}\n{settings}",
    )
    said = run("offlineimap", "offlineimap3", "-c", file, "-o", "-u", "basic").decode()
    assert "ERROR" not in said, said
    return said
