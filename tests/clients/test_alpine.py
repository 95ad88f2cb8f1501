"""Alpine, in a terminal."""

from __future__ import annotations

import os
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from clients.mail import AWKWARD, FOLDER, FOLDER_UTF7, Person, certificate, chinese, eventually
from support.demo import require
from support.terminal import Terminal

SETTINGS = """personal-name=爱丽丝
user-domain=demo.test
customized-hdrs=From: {user}
inbox-path={{localhost:{imaps}/ssl/user={user}}}INBOX
folder-collections=Mail {{localhost:{imaps}/ssl/user={user}}}[]
default-fcc={{localhost:{imaps}/ssl/user={user}}}Sent
smtp-server=localhost:{submission}/tls/user={user}
feature-list=quit-without-confirm,expunge-without-confirm
character-set=UTF-8
posting-character-set=UTF-8
last-version-used=9.99
sort-key=Arrival
last-time-prune-questioned=999.9
"""


def log_in(terminal: Terminal, person: Person) -> None:
    terminal.expect("ENTER LOGIN PASSWORD|PASSWORD")
    terminal.press(person.password + "\r")
    terminal.expect("Preserve password")
    terminal.press("n")


def test_it_searches_moves_and_sends(alice: Person, bob: Person, tmp_path: Path) -> None:
    program = require("alpine", "alpine")
    message = chinese(bob.address, alice.address)
    alice.put(message, AWKWARD)
    alice.put(folder=FOLDER_UTF7)
    ports = {name: alice.demo.port(name) for name in ("imaps", "submission")}
    (tmp_path / ".pinerc").write_text(SETTINGS.format(user=alice.address, **ports))
    environment = {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "LC_ALL": "C.UTF-8",
        "TERM": "xterm",
        "SSL_CERT_FILE": certificate(alice.demo),
    }
    with Terminal([program, "-i"], environment) as terminal:
        log_in(terminal, alice)
        terminal.expect("awkward")
        for shown, keys in (  # select what has this subject, and save all that is selected
            ("", ";"),
            ("SELECT criteria", "t"),
            ("Select based on", "s"),
            (" : ", "预算\r"),
            ("ZOOMED", "a"),
            ("APPLY|Apply", "s"),
            ("SAVE", f"{FOLDER}\r"),
        ):
            terminal.expect(shown)
            terminal.press(keys)
        eventually(lambda: alice.mail(FOLDER_UTF7), [message])
        terminal.press("x")
        eventually(alice.mail, [AWKWARD])
        terminal.press("c")
        terminal.expect("COMPOSE MESSAGE")
        terminal.press(f"{bob.address}\r\r\r季度报告\r附上报告。\r.\r谢谢\x18")
        terminal.expect("Send message")
        terminal.press("y")
        log_in(terminal, alice)
        eventually(lambda: len(alice.mail("Sent")), 1)
        terminal.press("q")
    for content in (*bob.mail(), *alice.mail("Sent")):
        sent = message_from_bytes(content, policy=policy.default)
        assert isinstance(sent, EmailMessage)
        assert sent["Subject"] == "季度报告"
        text = sent.get_body(("plain",))
        assert text is not None
        assert text.get_content().split() == ["附上报告。", ".", "谢谢"]
    assert len(bob.mail()) == 1
