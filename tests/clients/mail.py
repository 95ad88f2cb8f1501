"""Messages, people and programs that the tests with real clients share."""

from __future__ import annotations

import imaplib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

import pytest
from support.demo import Demo

SUBJECT = "会议纪要：第三季度预算，请查收 🗂"
TEXT = "你好，鲍勃：\n\n附件是会议纪要。\n.这一行以点开头\nFrom here on a line that mailbox files would quote\n谢谢！\n"
ATTACHMENT = "季度报告（最终版）.pdf"
PAYLOAD = bytes(range(256)) * 300
FOLDER = "项目/二〇二六"  # in modified UTF-7 as below
FOLDER_UTF7 = "&mHl27g-/&TowwB06MUW0-"


def chinese(sender: str, to: str) -> bytes:
    """A message with a Chinese subject, two bodies and an attachment, as a mail program would send it."""
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = f"爱丽丝 <{sender}>"
    message["To"] = to
    message["Subject"] = SUBJECT
    message["Date"] = "Mon, 23 Nov 2026 12:00:00 +0800"
    message["Message-ID"] = "<会议.1@demo.test>".encode("ascii", "ignore").decode()
    message.set_content(TEXT, cte="base64")
    message.add_alternative(
        f"<html><body><p>{TEXT}</p></body></html>", subtype="html", cte="quoted-printable"
    )
    message.add_attachment(PAYLOAD, maintype="application", subtype="pdf", filename=ATTACHMENT)
    return message.as_bytes()


def assert_chinese(content: bytes) -> None:
    """What came through is what `chinese` made."""
    message = BytesParser(policy=policy.default).parsebytes(content)
    assert message["Subject"] == SUBJECT
    assert isinstance(message, EmailMessage)
    body = message.get_body(("plain",))
    assert body is not None
    assert body.get_content().replace("\r\n", "\n") == TEXT
    (attachment,) = message.iter_attachments()
    assert attachment.get_filename() == ATTACHMENT
    assert attachment.get_content() == PAYLOAD


# Eight-bit octets without a charset, lines of dots, a line as long as SMTP allows, blanks at line ends.
AWKWARD = (
    b"From: alice@demo.test\r\nTo: bob@demo.test\r\nSubject: awkward\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n"
    b"Message-ID: <awkward@demo.test>\r\n\r\n.\r\n..\r\n.x\r\n\r\n\xe4\xbd\xa0\xff\xfe\r\ntrailing  \t\r\n"
    + b"x" * 998
    + b"\r\n\r\n\r\n.\r\nend\r\n"
)


@dataclass(frozen=True)
class Person:
    """An account of the demo and a direct look into its mailboxes."""

    demo: Demo
    address: str
    password: str

    @classmethod
    def cleared(cls, demo: Demo, number: int) -> Person:
        account = demo.accounts[number]
        person = cls(demo, account.address, account.password)
        with person.imap() as client:
            for line in client.list()[1]:
                assert isinstance(line, bytes)
                found = re.fullmatch(rb'\((.*)\) "/" "?([^"]*)"?', line)
                assert found, line
                name = found[2].decode()
                if name == "INBOX" or re.search(rb"\\(Sent|Drafts|Trash|Junk|Archive)", found[1]):
                    _empty(client, name)
                else:
                    client.delete(f'"{name}"')
            for line in client.lsub('"Other Users/"', "*")[1]:
                if isinstance(line, bytes):
                    client.unsubscribe(line.decode().partition(' "/" ')[2])
        return person

    def imap(self) -> imaplib.IMAP4:
        client = imaplib.IMAP4(*self.demo.address("imap"), timeout=60)
        client.login(self.address, self.password)
        return client

    def put(self, *contents: bytes, folder: str = "INBOX", flags: str = "") -> None:
        """Put messages into a folder."""
        with self.imap() as client:
            client.create(folder)
            for content in contents:
                answer, data = client.append(folder, flags, "", content)
                assert answer == "OK", data

    def mail(self, folder: str = "INBOX") -> list[bytes]:
        """The messages of a folder, oldest first."""
        with self.imap() as client:
            answer, data = client.select(f'"{folder}"', readonly=True)
            assert answer == "OK", data
            if data == [b"0"]:
                return []
            return [part[1] for part in client.fetch("1:*", "(BODY.PEEK[])")[1] if isinstance(part, tuple)]

    def flags(self, folder: str = "INBOX") -> list[set[str]]:
        with self.imap() as client:
            client.select(f'"{folder}"', readonly=True)
            lines = client.fetch("1:*", "(FLAGS)")[1]
        return [
            {flag.decode() for flag in imaplib.ParseFlags(line)} - {"\\Recent"}
            for line in lines
            if isinstance(line, bytes)
        ]


def eventually(probe: Callable[[], object], expected: object, seconds: float = 90.0) -> None:
    """Look again and again until this is what is there, or fail."""
    deadline = time.monotonic() + seconds
    while (found := probe()) != expected:
        assert time.monotonic() < deadline, f"still {found!r}, not {expected!r}"
        time.sleep(0.05)


class Runner:
    """Calls a program, or skips the test and names the package that has it."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(
        self, program: str, package: str, *arguments: str, stdin: bytes = b"", code: int = 0
    ) -> bytes:
        path = shutil.which(program)
        if path is None:
            pytest.skip(f"{program} is missing; on Debian: apt install {package}")
        environment = {"HOME": str(self.home), "USER": "me", "LANG": "C.UTF-8", "TERM": "xterm"}
        environment["PATH"] = os.environ["PATH"]
        done = subprocess.run(
            [path, *arguments], input=stdin, capture_output=True, env=environment, timeout=300, check=False
        )
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        assert done.returncode == code, f"{program} ended with {done.returncode}:\n{said[-4000:]}"
        return done.stdout + done.stderr

    def settings(self, name: str, text: str) -> str:
        """The path of a settings file that only its owner may read."""
        path = self.home / name
        path.write_text(text)
        path.chmod(0o600)
        return str(path)


def certificate(demo: Demo) -> str:
    """The demo's certificate, which it signed itself."""
    return str(demo.data / "certificate.pem")


def same_body(content: bytes, sent: bytes) -> bool:
    """Whether two messages have the same body, whatever header fields were added on the way."""
    return content.partition(b"\r\n\r\n")[2] == sent.partition(b"\r\n\r\n")[2]


def bodies(folder: Path) -> list[bytes]:
    """The bodies of the files in a maildir's new and cur, sorted, with CRLF."""
    files = [*folder.glob("new/*"), *folder.glob("cur/*")]
    contents = [file.read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")[2] for file in files]
    return sorted(content.replace(b"\n", b"\r\n") for content in contents)


def _empty(client: imaplib.IMAP4, name: str) -> None:
    if client.select(f'"{name}"')[1] != [b"0"]:
        client.store("1:*", "+FLAGS.SILENT", r"(\Deleted)")
    client.close()
