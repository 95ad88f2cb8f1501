"""Roundcube under PHP's own web server, asked what a browser asks."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import httpx
import pytest
from clients.mail import (
    ATTACHMENT,
    AWKWARD,
    FOLDER,
    FOLDER_UTF7,
    PAYLOAD,
    SUBJECT,
    Person,
    certificate,
    chinese,
)
from support.demo import Demo, free_port, require

ROOT = Path("/var/lib/roundcube")
SETTINGS = """<?php
$config['db_dsnw'] = 'sqlite:///{home}/roundcube.db';
$config['imap_host'] = 'ssl://localhost:{imaps}';
$config['smtp_host'] = 'tls://localhost:{submission}';
$config['imap_conn_options'] = $config['smtp_conn_options'] = ['ssl' => ['cafile' => '{certificate}']];
$config['temp_dir'] = $config['log_dir'] = '{home}';
$config['des_key'] = 'twenty-four octets of it';
$config['language'] = 'zh_CN';
"""


@pytest.fixture(scope="module")
def site(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Roundcube that uses the demo, or skip."""
    php = require("php", "php-cli")
    if not ROOT.exists():
        pytest.skip("Roundcube is missing: install Debian's packages roundcube-core and roundcube-sqlite3")
    home = tmp_path_factory.mktemp("roundcube")
    for name in ("defaults.inc.php", "mimetypes.php"):
        (home / name).symlink_to(Path("/etc/roundcube") / name)
    ports = {name: demo.port(name) for name in ("imaps", "submission")}
    settings = SETTINGS.format(home=home, certificate=certificate(demo), **ports)
    (home / "config.inc.php").write_text(settings)
    database = sqlite3.connect(home / "roundcube.db")
    database.executescript((ROOT / "SQL/sqlite.initial.sql").read_text())
    database.close()
    port = free_port()
    with (home / "php.log").open("wb") as log:
        process = subprocess.Popen(
            [php, "-d", f"session.save_path={home}", "-S", f"127.0.0.1:{port}", "-t", ROOT / "public_html"],
            env={"PATH": os.environ["PATH"], "ROUNDCUBE_CONFIG_DIR": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


class Browser:
    """A person's session with Roundcube."""

    def __init__(self, site: str) -> None:
        self._client = httpx.Client(base_url=site, follow_redirects=True, timeout=120)
        self._token = ""

    def page(self, method: str = "GET", data: dict[str, str] | None = None, **query: str) -> str:
        """A page as a browser loads it, or sends a form."""
        form = {**data, "_token": self._token} if data else None
        response = self._client.request(method, "/", params=query, data=form)
        response.raise_for_status()
        if found := re.search(r'"request_token":"([^"]+)"', response.text):
            self._token = found[1]
        return unescape(response.text)

    def ask(self, action: str, **query: str) -> str:
        """What the page's scripts ask for: the script that they are to run."""
        return self._script("GET", {"_task": "mail", "_action": action, "_remote": "1", **query})

    def act(self, action: str, **data: str) -> str:
        """What the page's scripts have done."""
        return self._script("POST", {"_task": "mail", "_action": action}, {**data, "_remote": "1"})

    def _script(self, method: str, query: dict[str, str], data: dict[str, str] | None = None) -> str:
        headers = {"X-Roundcube-Request": self._token}
        answer = self._client.request(method, "/", params=query, data=data, headers=headers).json()
        return str(answer["exec"])

    def download(self, **query: str) -> bytes:
        fixed = {"_task": "mail", "_action": "get", "_download": "1", "_token": self._token}
        return self._client.get("/", params={**fixed, **query}).content

    def open(self, deadline: float) -> None:
        """Load the login page, as soon as the server is there."""
        while True:
            try:
                self.page()
            except httpx.ConnectError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            else:
                return

    def log_in(self, person: Person) -> str:
        """The page that follows."""
        self.open(time.monotonic() + 120)
        login = {"_user": person.address, "_pass": person.password, "_timezone": "UTC"}
        fixed = {"_task": "login", "_action": "login"}
        return self.page("POST", {**login, **fixed}, _task="login")

    def log_out(self) -> None:
        self._client.cookies.clear()

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def browser(site: str) -> Iterator[Browser]:
    browser = Browser(site)
    yield browser
    browser.close()


def rows(script: str) -> dict[str, str]:
    """The messages that a script adds to the list: subject and UID."""
    found = re.findall(r'add_message_row\((\d+),\{"subject":"([^"]*)"', script)
    return {subject: uid for uid, subject in found}


def test_it_lists_and_reads(browser: Browser, alice: Person) -> None:
    alice.put(chinese("bob@demo.test", alice.address), AWKWARD)
    alice.put(AWKWARD, folder=FOLDER_UTF7)
    with alice.imap() as client:
        client.subscribe(FOLDER_UTF7)
    mail = browser.log_in(alice)
    names = dict(re.findall(r'"id":"([^"]+)","name":"([^"]+)","virtual":false', mail))
    assert names.keys() == {"INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash", FOLDER_UTF7}
    assert names["Sent"] == "已发送邮件"  # it knows what the mailbox is for
    assert names[FOLDER_UTF7] == FOLDER.rpartition("/")[2]
    listed = rows(browser.ask("list", _mbox="INBOX"))
    assert list(listed) == ["awkward", SUBJECT]  # the newest first
    shown = browser.page(_task="mail", _action="show", _mbox="INBOX", _uid=listed[SUBJECT])
    assert f"<title>Roundcube Webmail :: {SUBJECT}</title>" in shown
    assert "附件是会议纪要。" in shown
    assert ATTACHMENT in shown
    assert browser.download(_mbox="INBOX", _uid=listed[SUBJECT], _part="2") == PAYLOAD
    assert alice.flags() == [{"\\Seen"}, set()]


def test_it_searches_flags_moves_and_removes(browser: Browser, alice: Person) -> None:
    message = chinese("bob@demo.test", alice.address)
    alice.put(message, AWKWARD)
    alice.put(folder=FOLDER_UTF7)
    browser.log_in(alice)
    uids = rows(browser.ask("list", _mbox="INBOX"))
    for text, headers, found in (
        ("预算", "subject", [SUBJECT]),
        ("鲍勃", "text", [SUBJECT]),
        ("TRAILING", "text", ["awkward"]),
        ("nowhere", "text", []),
    ):
        assert list(rows(browser.ask("search", _mbox="INBOX", _q=text, _headers=headers))) == found
    browser.act("mark", _mbox="INBOX", _uid=uids[SUBJECT], _flag="flagged")
    assert alice.flags() == [{"\\Flagged"}, set()]
    browser.act("move", _mbox="INBOX", _uid=uids[SUBJECT], _target_mbox=FOLDER_UTF7)
    assert alice.mail(FOLDER_UTF7) == [message]
    browser.act("move", _mbox="INBOX", _uid=uids["awkward"], _target_mbox="Trash")
    assert (alice.mail(), alice.mail("Trash")) == ([], [AWKWARD])
    browser.act("purge", _mbox="Trash")
    assert alice.mail("Trash") == []


def test_it_sends_and_keeps_a_copy(browser: Browser, alice: Person, bob: Person) -> None:
    browser.log_in(alice)
    form = browser.page(_task="mail", _action="compose")
    (identity,) = re.findall(r'name="_from".*?<option value="(\d+)"', form, re.DOTALL)
    (number,) = set(re.findall(r'"compose_id":"(\w+)"', form))
    mail = {"_to": f"鲍勃 <{bob.address}>", "_subject": "季度报告 🗂", "_message": "附上报告。\n.\n谢谢！"}
    fixed = {"_from": identity, "_id": number, "_store_target": "Sent", "_is_html": "0", "_framed": "1"}
    answer = browser.page("POST", {**fixed, **mail}, _task="mail", _action="send")
    assert "邮件已发送" in answer
    for content in (*bob.mail(), *alice.mail("Sent")):
        assert "附上报告。\r\n.\r\n谢谢！".encode() in content
    assert len(bob.mail()) == len(alice.mail("Sent")) == 1
    browser.log_out()
    browser.log_in(bob)
    assert list(rows(browser.ask("list", _mbox="INBOX"))) == [mail["_subject"]]
