"""Thunderbird: one for all tests, with an account that it set up by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from clients import thunderbird as program
from clients.mail import (
    ATTACHMENT,
    AWKWARD,
    FOLDER,
    FOLDER_UTF7,
    PAYLOAD,
    SUBJECT,
    TEXT,
    Person,
    chinese,
    eventually,
)
from clients.thunderbird import Thunderbird
from imapclient import IMAPClient
from support.demo import Demo

SHARED = "共享"
SHARED_UTF7 = "&UXFOqw-"


@pytest.fixture(scope="module")
def running(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Thunderbird]:
    home = tmp_path_factory.mktemp("thunderbird")
    with program.running(demo, Person.cleared(demo, 0), home) as thunderbird:
        yield thunderbird


@pytest.fixture
def thunderbird(running: Thunderbird, alice: Person) -> Thunderbird:
    """It has seen that Alice's INBOX is empty."""
    listed(running, "INBOX", [])
    return running


def listed(thunderbird: Thunderbird, path: str, subjects: list[str]) -> None:
    eventually(lambda: thunderbird.call("list", path, True), subjects)


def with_folder(thunderbird: Thunderbird, path: str) -> None:
    """Wait until it knows a folder."""
    eventually(lambda: path in discovered(thunderbird), True)


def discovered(thunderbird: Thunderbird) -> dict[str, str]:
    """The folders that it knows; it is asked to look for more, which it forgets while it is busy."""
    found: dict[str, str] = thunderbird.call("folders")
    thunderbird.call("discover")
    time.sleep(0.5)
    return found


def subscribed(person: Person) -> list[str]:
    """The names of the mailboxes that the person is subscribed to."""
    with IMAPClient(*person.demo.address("imap"), ssl=False) as client:
        client.login(person.address, person.password)
        return [name for _, _, name in client.list_sub_folders()]


def subscribe(thunderbird: Thunderbird, person: Person, name: str) -> None:
    """Ask until it has done so: what it is asked for while it is busy it forgets."""
    deadline = time.monotonic() + 90
    while name not in subscribed(person):
        assert time.monotonic() < deadline, f"never subscribed to {name}"
        thunderbird.call("subscribe", name)
        time.sleep(1)


def parsed(content: bytes) -> EmailMessage:
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def test_it_finds_the_servers_from_the_address_alone(running: Thunderbird, alice: Person) -> None:
    def server(service: str, port: int, user: str | None = alice.address) -> dict[str, Any]:
        return {"service": service, "host": f"{service}.demo.test", "port": port, "tls": True, "user": user}

    imap, *others, smtp = running.found
    assert imap == server("imap", 993)
    assert smtp == server("smtp", 465)
    assert [(other["service"], other["port"], other["tls"]) for other in others] == [("pop3", 995, True)]


def test_it_synchronises_folders_and_reads(thunderbird: Thunderbird, alice: Person) -> None:
    alice.put(AWKWARD, chinese("bob@demo.test", alice.address))
    alice.put(AWKWARD, folder=FOLDER_UTF7)
    with alice.imap() as client:
        client.subscribe(FOLDER_UTF7)
    roles = {name: name for name in ("Archive", "Drafts", "Junk", "Trash")}
    own = {FOLDER.partition("/")[0]: "", FOLDER: ""}
    expected = {"INBOX": "Inbox", "Sent": "SentMail", **roles, **own}
    eventually(lambda: discovered(thunderbird), expected)
    listed(thunderbird, "INBOX", ["awkward", SUBJECT])
    listed(thunderbird, FOLDER, ["awkward"])
    read = thunderbird.call("read", "INBOX", SUBJECT)
    assert read == {"text": TEXT, "attachments": {ATTACHMENT: len(PAYLOAD)}}


def test_flags_go_both_ways(thunderbird: Thunderbird, alice: Person) -> None:
    alice.put(AWKWARD, chinese("bob@demo.test", alice.address))
    listed(thunderbird, "INBOX", ["awkward", SUBJECT])
    thunderbird.call("mark", "INBOX", SUBJECT)
    eventually(alice.flags, [set(), {"\\Seen", "\\Flagged", "$label1"}])
    with alice.imap() as client:
        client.select()
        client.store("1", "+FLAGS", r"(\Seen \Answered $label2)")
        client.store("2", "-FLAGS", r"(\Flagged $label1)")
    thunderbird.call("list", "INBOX", True)
    eventually(lambda: thunderbird.call("state", "INBOX", "awkward"), [True, False, True, "$label2"])
    eventually(lambda: thunderbird.call("state", "INBOX", SUBJECT)[1:], [False, False, ""])


def test_it_copies_moves_and_removes(thunderbird: Thunderbird, alice: Person) -> None:
    message = chinese("bob@demo.test", alice.address)
    alice.put(message, AWKWARD)
    listed(thunderbird, "INBOX", [SUBJECT, "awkward"])
    thunderbird.call("create", SHARED)
    with_folder(thunderbird, SHARED)
    thunderbird.call("transfer", "INBOX", SUBJECT, SHARED, False)
    thunderbird.call("transfer", "INBOX", "awkward", SHARED, True)
    listed(thunderbird, SHARED, [SUBJECT, "awkward"])
    listed(thunderbird, "INBOX", [SUBJECT])
    assert alice.mail(SHARED_UTF7) == [message, AWKWARD]
    thunderbird.call("remove", "INBOX", SUBJECT)
    listed(thunderbird, "Trash", [SUBJECT])
    eventually(alice.mail, [])
    assert alice.mail("Trash") == [message]
    thunderbird.call("rename", SHARED, "Q3 预算")
    with_folder(thunderbird, "Q3 预算")
    eventually(lambda: alice.mail("Q3 &mIR7lw-"), [message, AWKWARD])


def test_it_searches_on_the_server(thunderbird: Thunderbird, alice: Person) -> None:
    alice.put(chinese("bob@demo.test", alice.address), AWKWARD)
    listed(thunderbird, "INBOX", [SUBJECT, "awkward"])
    for attribute, text, found in (
        ("Subject", "预算", [SUBJECT]),
        ("Body", "鲍勃", [SUBJECT]),
        ("Body", "TRAILING", ["awkward"]),
        ("Sender", "爱丽丝", [SUBJECT]),
        ("To", "bob@", ["awkward"]),
        ("Body", "nowhere", []),
    ):
        assert thunderbird.call("search", "INBOX", attribute, text) == found, (attribute, text)


def test_new_mail_shows_by_itself(thunderbird: Thunderbird, alice: Person) -> None:
    alice.put(AWKWARD)
    eventually(lambda: thunderbird.call("list", "INBOX", False), ["awkward"])


def test_it_sends_and_keeps_a_copy(
    thunderbird: Thunderbird, alice: Person, bob: Person, tmp_path: Path
) -> None:
    attachment = tmp_path / "报告（最终版）.bin"
    attachment.write_bytes(PAYLOAD)
    text = "附上报告。\n.\n谢谢！\n"
    mail = {"to": f"鲍勃 <{bob.address}>", "subject": "季度报告 🗂", "text": text, "file": str(attachment)}
    thunderbird.call("write", mail)
    (received,) = bob.mail()
    eventually(lambda: len(alice.mail("Sent")), 1)
    for content in (received, *alice.mail("Sent")):
        message = parsed(content)
        assert message["Subject"] == mail["subject"]
        assert message["From"] == f"爱丽丝 <{alice.address}>"
        body, file = message.iter_parts()
        assert body.get_content().splitlines() == text.splitlines()
        assert file.get_filename() == attachment.name
        assert file.get_content() == PAYLOAD
    assert b" with ESMTPSA " in received


def test_it_keeps_a_draft(thunderbird: Thunderbird, alice: Person) -> None:
    thunderbird.call("write", {"to": alice.address, "subject": "草稿", "text": "…", "draft": True})
    eventually(lambda: [parsed(content)["Subject"] for content in alice.mail("Drafts")], ["草稿"])
    assert "\\Draft" in alice.flags("Drafts")[0]


def test_folders_of_a_colleague_by_the_rights_given(
    thunderbird: Thunderbird, alice: Person, bob: Person
) -> None:
    message = chinese(bob.address, bob.address)
    alice.put(AWKWARD)
    bob.put(message, folder=SHARED_UTF7)
    bob.put(folder="Basket")
    with bob.imap() as client:
        client.setacl(SHARED_UTF7, alice.address, "lr")
        client.setacl("Basket", alice.address, "lrsi")
    shared, basket = (f"Other Users/{bob.address}/{name}" for name in (SHARED, "Basket"))
    subscribe(thunderbird, alice, shared)
    subscribe(thunderbird, alice, basket)
    with_folder(thunderbird, basket)
    listed(thunderbird, "INBOX", ["awkward"])
    listed(thunderbird, shared, [SUBJECT])
    assert thunderbird.call("read", shared, SUBJECT)["attachments"] == {ATTACHMENT: len(PAYLOAD)}
    assert not thunderbird.call("writable", shared)
    thunderbird.call("transfer", shared, SUBJECT, "INBOX", False)
    eventually(lambda: alice.mail()[1:], [message])
    assert thunderbird.call("writable", basket)
    thunderbird.call("transfer", "INBOX", "awkward", basket, True)
    eventually(lambda: bob.mail("Basket"), [AWKWARD])
    eventually(alice.mail, [message])
    assert bob.flags(SHARED_UTF7) == [set()]  # without the right s nothing was marked as read
