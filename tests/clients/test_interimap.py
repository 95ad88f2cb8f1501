"""interimap, which keeps two accounts alike by QRESYNC and hears of news by NOTIFY."""

from __future__ import annotations

import os
import subprocess

from clients.mail import AWKWARD, FOLDER_UTF7, Person, Runner, certificate, chinese, eventually
from support.demo import require


def settings(run: Runner, local: Person, remote: Person) -> str:
    sides = [
        f"[{side}]\ntype = imaps\nhost = localhost\nport = {person.demo.port('imaps')}\nusername = {person.address}\n"
        f"password = {person.password}\nSSL_CAfile = {certificate(person.demo)}\n"
        for side, person in (("local", local), ("remote", remote))
    ]
    return run.settings("interimap", f"database = {run.home}/interimap.db\n{''.join(sides)}")


def test_two_accounts_become_alike(alice: Person, bob: Person, run: Runner) -> None:
    message = chinese(alice.address, alice.address)
    alice.put(message, flags="(\\Seen)")
    alice.put(AWKWARD, folder=FOLDER_UTF7)
    bob.put(AWKWARD)
    config = f"--config={settings(run, alice, bob)}"
    run("interimap", "interimap", config)
    assert (alice.mail(), bob.mail()) == ([message, AWKWARD], [AWKWARD, message])
    assert bob.flags() == [set(), {"\\Seen"}]
    assert bob.mail(FOLDER_UTF7) == [AWKWARD]
    assert b" UID(s)" not in run("interimap", "interimap", config)  # nothing is new

    with bob.imap() as client:
        client.select()
        client.store("1", "+FLAGS", r"(\Flagged $Work)")
        client.store("2", "+FLAGS", r"(\Deleted)")
        client.expunge()
    alice.put(message, folder=FOLDER_UTF7)
    run("interimap", "interimap", config)
    assert alice.mail() == [AWKWARD]
    assert alice.flags() == [{"\\Flagged", "$Work"}]
    assert bob.mail(FOLDER_UTF7) == [AWKWARD, message]


def test_news_go_over_at_once(alice: Person, bob: Person, run: Runner) -> None:
    program = require("interimap", "interimap")
    config = f"--config={settings(run, alice, bob)}"
    run("interimap", "interimap", config)
    with subprocess.Popen(
        [program, config, "--notify", "--watch=3600"],
        env={"HOME": str(run.home), "PATH": os.environ["PATH"]},
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            alice.put(AWKWARD)  # it may find this by looking, before it waits for news
            eventually(bob.mail, [AWKWARD])
            alice.put(AWKWARD)
            eventually(bob.mail, [AWKWARD] * 2)
            bob.put(AWKWARD)
            eventually(alice.mail, [AWKWARD] * 3)
        finally:
            process.terminate()
