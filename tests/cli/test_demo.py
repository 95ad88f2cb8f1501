"""The demo as scripts and people use it: a process of its own, on real ports."""

from __future__ import annotations

import imaplib
import json
import os
import re
import smtplib
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.command import Shell
from support.demo import Demo, mailwright_command, require, source_path
from support.pace import slowness

from mailwright.cli.exits import Exit

SERVICES = ["smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "lmtp"]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    server = Demo(tmp_path / "data").start()
    yield server
    if server.running():
        server.stop()


def send(demo: Demo, subject: str) -> None:
    alice, bob = demo.accounts[:2]
    with smtplib.SMTP(*demo.address("submission"), timeout=60) as client:
        client.login(alice.address, alice.password)  # without TLS: this is the demo, and loopback
        client.sendmail(alice.address, [bob.address], f"Subject: {subject}\r\n\r\nHello\r\n")


def subjects(demo: Demo) -> list[str]:
    bob = demo.accounts[1]
    with imaplib.IMAP4_SSL(*demo.address("imaps"), ssl_context=trusting(demo), timeout=60) as client:
        client.login(bob.address, bob.password)
        client.select("INBOX", readonly=True)
        _, found = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        return [
            item[1].decode().strip().removeprefix("Subject: ") for item in found if isinstance(item, tuple)
        ]


def trusting(demo: Demo) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(demo.data / "certificate.pem"))


def test_it_says_all_that_a_script_needs_in_one_line(demo: Demo) -> None:
    assert [demo.port(service) for service in SERVICES] == list(range(demo.base_port, demo.base_port + 8))
    assert demo.ready["pid"] == demo.pid
    assert [account.address for account in demo.accounts] == ["alice@demo.test", "bob@demo.test"]
    for service in SERVICES:
        with socket.create_connection(demo.address(service), 5):
            pass


def test_mail_and_passwords_stay_between_runs(demo: Demo) -> None:
    before = demo.accounts
    for account in before:  # it is pasted into command lines: swaks takes a leading "-" for an option
        assert re.fullmatch(r"[a-z0-9]{4}(-[a-z0-9]{4}){3}", account.password)
    send(demo, "first")
    assert demo.stop() == 0
    demo.start()
    assert demo.accounts == before
    send(demo, "second")
    assert subjects(demo) == ["first", "second"]


def test_the_certificate_is_its_own_and_good_for_loopback(demo: Demo) -> None:
    with smtplib.SMTP_SSL(*demo.address("submissions"), context=trusting(demo), timeout=60) as client:
        client.login(demo.accounts[0].address, demo.accounts[0].password)
    demo.stop()
    certificate = (demo.data / "certificate.pem").read_bytes()
    demo.start()
    assert (demo.data / "certificate.pem").read_bytes() == certificate


def test_ctrl_c_takes_leave_of_clients_that_wait(demo: Demo) -> None:
    farewells = []
    waiting = [socket.create_connection(demo.address(service), 5) for service in ("smtp", "imap", "pop3")]
    for client in waiting:
        client.settimeout(60)
        assert client.recv(1000)
    assert demo.stop() == 0
    for client in waiting:
        farewells.append(client.recv(1000))
        client.close()
    assert farewells[0].startswith(b"421 ")
    assert farewells[1].startswith(b"* BYE ")


def test_it_is_ready_soon(demo: Demo) -> None:
    demo.stop()
    times = []
    for _ in range(3):
        start = time.monotonic()
        demo.start()
        times.append((processor_time(demo.pid), time.monotonic() - start))
        demo.stop()
    # The aim is a second; a machine that is slow, or busy with other tests, is given more.
    slow = slowness()
    assert min(work for work, _ in times) < 3 * slow, times
    assert min(waiting for _, waiting in times) < 20 * slow, times


def processor_time(pid: int) -> float:
    """Seconds that a process has worked (proc(5): fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_second_one_on_the_same_data_is_refused(demo: Demo) -> None:
    command = [
        *mailwright_command(),
        "demo",
        "--data",
        str(demo.data),
        "--base-port",
        str(demo.base_port + 10),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **source_path()}, timeout=120, check=False
    )
    assert (done.returncode, "runs on" in done.stderr) == (1, True), done


@pytest.mark.parametrize("smarthost", ["relay", "relay:", ":25", "relay:0", "relay:65536", "relay:٢٥"])
def test_a_smarthost_that_cannot_be_leaves_nothing_behind(shell: Shell, smarthost: str) -> None:
    done = shell("demo", "--data", shell.folder / "new", "--smarthost", smarthost)
    assert (done.code, "must be HOST:PORT" in done.err) == (Exit.USAGE, True)
    assert not (shell.folder / "new").exists()


def test_passwords_that_cannot_be_read_are_told(shell: Shell) -> None:
    (shell.folder / "demo.json").write_text("")
    done = shell("demo", "--data", shell.folder)
    assert (done.code, "demo.json is damaged" in done.err) == (Exit.FAILED, True)


@pytest.mark.parametrize(
    "passwords", ["[]", '{"alice@demo.test": "x"}', '{"alice@demo.test": 1, "bob@demo.test": 2}']
)
def test_passwords_of_another_kind_are_told(shell: Shell, passwords: str) -> None:
    (shell.folder / "demo.json").write_text(passwords)
    done = shell("demo", "--data", shell.folder)
    assert (done.code, "demo.json is damaged" in done.err) == (Exit.FAILED, True)


def test_the_mail_of_a_real_server_is_left_alone(mailwright: Shell) -> None:
    demo = Demo(mailwright.folder / "other")  # which is not started: its ports are free
    for _ in range(2):
        done = mailwright("demo", "--data", mailwright.folder / "data", "--base-port", str(demo.base_port))
        assert (done.code, "it holds the mail of a real server" in done.err) == (Exit.USAGE, True)


def test_passwords_that_were_lost_are_made_anew_and_the_mail_stays(demo: Demo) -> None:
    send(demo, "kept")
    before = demo.accounts
    assert demo.stop() == 0
    (demo.data / "demo.json").unlink()
    demo.start()
    assert demo.accounts != before
    send(demo, "new")
    assert subjects(demo) == ["kept", "new"]


def test_a_port_that_is_taken_is_told(demo: Demo, tmp_path: Path) -> None:
    command = [
        *mailwright_command(),
        "demo",
        "--data",
        str(tmp_path / "b"),
        "--base-port",
        str(demo.base_port),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **source_path()}, timeout=120, check=False
    )
    assert done.returncode == 1
    assert "--base-port" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_commands_it_prints_work_as_they_stand(tmp_path: Path) -> None:
    require("curl", "curl")
    require("swaks", "swaks")
    server = Demo(tmp_path / "data")
    command = [
        *mailwright_command(),
        "demo",
        "--data",
        str(server.data),
        "--base-port",
        str(server.base_port),
    ]
    with (tmp_path / "out").open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            env={**os.environ, **source_path(), "PYTHONUNBUFFERED": "1"},
        )
    try:
        deadline = time.monotonic() + 120
        while "Ctrl-C" not in (text := (tmp_path / "out").read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        lines = [line.strip() for line in text.splitlines()]
        for start in ("printf", "swaks", "curl"):
            (line,) = [line for line in lines if line.startswith(start)]
            done = subprocess.run(
                ["bash", "-c", line], capture_output=True, text=True, timeout=120, check=False
            )
            assert done.returncode == 0, (line, done.stdout, done.stderr)
        assert "Subject: " in done.stdout
        passwords = json.loads((server.data / "demo.json").read_text())
        assert all(password in text for password in passwords.values())
    finally:
        process.terminate()
        assert process.wait(60) == 0
