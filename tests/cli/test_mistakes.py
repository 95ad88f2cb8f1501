"""What people get wrong is told in a sentence, with the exit code that the manual names; never as a traceback."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from cli.command import Shell
from support.demo import mailwright_command, source_path

from mailwright.cli.exits import Exit


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("domain dns not..domain", Exit.FAILED, "'not..domain' is not a domain name"),
        ("domain add 192.0.2.1", Exit.FAILED, "'192.0.2.1' is an address, not a domain"),
        ("queue list --id 99999999999999999999", Exit.USAGE, "is no number from 1 to"),
        ("queue list --limit 99999999999999999999", Exit.USAGE, "is no number from 1 to"),
        ("queue follow 99999999999999999999", Exit.USAGE, "is no number from 1 to"),
        ("queue follow 0", Exit.USAGE, "is no number from 1 to"),
        ("trace a@b.example --limit 99999999999999999999", Exit.USAGE, "is no number from 1 to"),
        ("trace a@b.example --limit 9223372036854775807", Exit.FAILED, "nothing is known of a@b.example"),
        ("account quota alice@example.org 9999999999TiB", Exit.USAGE, "is more than can be counted"),
        (
            "account add b@example.org --generate --password-stdin",
            Exit.USAGE,
            "--generate makes a password, --password-stdin reads one: give one of them",
        ),
        ("backup /proc/nowhere", Exit.FAILED, "cannot use /proc/nowhere: No such file or directory"),
    ],
)
def test_it_is_told(mailwright: Shell, command: str, code: Exit, told: str) -> None:
    done = mailwright(*command.split())
    assert (done.code, done.out) == (code, "")
    assert told in done.err


@pytest.mark.parametrize(
    "command",
    [
        "account add \udcff@example.org --generate",
        "queue list --sender \udcff",
        "trace \udcff",
        "alias add \udcff@example.org a@b.c",
    ],
)
def test_what_is_no_text_is_told(mailwright: Shell, command: str) -> None:
    done = mailwright(*command.split())
    assert (done.code, done.err) == (Exit.USAGE, "mailwright: what you gave is not in UTF-8\n")


@pytest.mark.parametrize("password", ["a\0b", "a\x1bb", "\x7f"])
def test_a_password_that_no_client_could_send_is_not_taken(mailwright: Shell, password: str) -> None:
    done = mailwright("account", "password", "alice@example.org", "--password-stdin", stdin=password + "\n")
    assert (done.code, "it holds a control character" in done.err) == (Exit.USAGE, True)


def test_a_name_is_one_line(mailwright: Shell) -> None:
    for args in (
        ("add", "b@example.org", "--generate", "--name", "a\nb"),
        ("app-password", "add", "alice@example.org", "a\nb"),
    ):
        done = mailwright("account", *args)
        assert (done.code, "it holds a control character" in done.err) == (Exit.USAGE, True)


def test_a_question_leaves_standard_output_to_json(mailwright: Shell) -> None:
    done = mailwright("queue", "delete", "--all", "--json", stdin="y\n")
    assert done.json == {"recipients": 0}
    assert "Nobody will be told" in done.err


def test_a_configuration_that_may_not_be_read_is_a_matter_of_configuration(mailwright: Shell) -> None:
    mailwright.config.unlink()
    mailwright.config.mkdir()  # even root cannot read that
    done = mailwright("account", "list")
    assert done.code == Exit.CONFIG
    assert done.err == f"{mailwright.config}: cannot be read: Is a directory\n"


def test_a_password_that_is_no_text_is_told(mailwright: Shell) -> None:
    strict = {"PYTHONIOENCODING": "utf-8:strict"}  # as in any locale but C's
    command = ("account", "password", "alice@example.org")
    done = run(mailwright, strict, *command, "--password-stdin", typed=b"\xff\n")
    assert (done.returncode, done.stderr) == (Exit.USAGE, b"mailwright: what you gave is not in UTF-8\n")
    ours, theirs = pty.openpty()
    environment = {**os.environ, **source_path(), "MAILWRIGHT_CONFIG": str(mailwright.config)}
    with subprocess.Popen(
        [*mailwright_command(), *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    ) as process:
        os.close(theirs)
        told = b""
        while not told.endswith(b"Password: "):
            told += os.read(ours, 1000)
        os.write(ours, b"\xff\n")
        while b"UTF-8" not in told:
            told += os.read(ours, 1000)
        assert (process.wait(60), b"Traceback" in told) == (Exit.USAGE, False)
    os.close(ours)


@pytest.mark.parametrize(
    ("module", "then", "code"),
    [
        ("mailwright.cli.root", "os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT),
        ("mailwright.config", "os.kill(os.getpid(), signal.SIGINT)", Exit.INTERRUPTED),
        (
            "mailwright.config",
            "raise RuntimeError('__set_name__') from KeyboardInterrupt()",
            Exit.INTERRUPTED,
        ),
    ],
)
def test_ctrl_c_while_it_is_loaded_is_no_defect(mailwright: Shell, module: str, then: str, code: int) -> None:
    program = f"""
import builtins, os, signal, sys
load = builtins.__import__
def interrupted(name, *rest):
    if name == {module!r}:
        {then}
    return load(name, *rest)
builtins.__import__ = interrupted
sys.argv[1:] = ["account", "list"]
from mailwright.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **source_path(), "MAILWRIGHT_CONFIG": str(mailwright.config)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")


def test_who_closed_standard_input_is_told_as_who_gives_none(mailwright: Shell) -> None:
    for options, code in (("--password-stdin", Exit.FAILED), ("", Exit.USAGE)):
        command = f"{shlex.join(mailwright_command())} account password alice@example.org {options} <&-"
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            env={**os.environ, **source_path(), "MAILWRIGHT_CONFIG": str(mailwright.config)},
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, b"Traceback" in done.stderr) == (code, False)


def test_what_cannot_be_written_is_told_once(mailwright: Shell) -> None:
    done = subprocess.run(
        [
            "/bin/sh",
            "-c",
            f"ulimit -f 64; {shlex.join(mailwright_command())} account add b@example.org --generate",
        ],
        env={**os.environ, **source_path(), "MAILWRIGHT_CONFIG": str(mailwright.config)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (Exit.TEMPORARY, "", 1)
    assert done.stderr.startswith("mailwright: the d")  # disk, be it full or broken


@pytest.mark.parametrize("command", ["--help", "domain --help", "version"])
def test_output_that_finds_no_room_is_told(command: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*mailwright_command(), *command.split()],
            env={**os.environ, **source_path()},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    assert (done.returncode, done.stderr.count("\n")) == (Exit.TEMPORARY, 1)
    assert done.stderr.startswith("mailwright: the disk is full")


def test_a_terminal_without_the_letters_shows_their_numbers(mailwright: Shell) -> None:
    mailwright("account", "add", "li@example.org", "--name", "李😀", "--generate")
    environment = {"PYTHONIOENCODING": "latin-1"}
    done = run(mailwright, environment, "account", "list")
    assert (done.returncode, done.stderr, b"\\u674e\\U0001f600" in done.stdout) == (0, b"", True)
    done = run(mailwright, environment, "account", "list", "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    assert [each["name"] for each in json.loads(done.stdout)] == ["", "李😀"]


def test_a_locale_without_the_letters_is_told(mailwright: Shell, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"From a@b.example Thu Jan  1 00:00:00 2015\n\n")
    mailwright("import", "alice@example.org", tmp_path / "m", "--mailbox", "项目")
    old = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # as one in latin-1
    done = run(mailwright, old, "export", "alice@example.org", tmp_path / "out", "--format", "mbox")
    assert (done.returncode, b"run it with LC_ALL=C.UTF-8" in done.stderr) == (Exit.FAILED, True)
    assert b"Traceback" not in done.stderr


def test_no_color_is_obeyed(mailwright: Shell) -> None:
    for wish, colours in ({"TERM": "xterm"}, True), ({"NO_COLOR": "1"}, False):
        ours, theirs = pty.openpty()
        run(mailwright, wish, "doctor", "--offline", out=theirs)
        os.close(theirs)
        assert (b"\x1b[3" in os.read(ours, 4096)) == colours
        os.close(ours)


def run(
    shell: Shell,
    environment: dict[str, str],
    *arguments: str | Path,
    out: int = subprocess.PIPE,
    typed: bytes = b"",
) -> subprocess.CompletedProcess[bytes]:
    """A command in a process of its own."""
    return subprocess.run(
        [*mailwright_command(), *arguments],
        env={**os.environ, **source_path(), "MAILWRIGHT_CONFIG": str(shell.config), **environment},
        input=typed,
        stdout=out,
        stderr=subprocess.PIPE,
        timeout=120,
        check=False,
    )
