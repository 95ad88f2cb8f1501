"""Mail that is brought in, written out, backed up and put back."""

from __future__ import annotations

import errno
import hashlib
import json
import mailbox
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
from cli.command import Shell

from mailwright.cli import backup, mailfiles
from mailwright.cli.backup import digest
from mailwright.cli.exits import Exit
from mailwright.cli.opening import read
from mailwright.cli.running import lock_data
from mailwright.config import load
from mailwright.store import arrivals
from mailwright.store.db.api import Transaction
from mailwright.store.errors import StoreFull
from mailwright.store.model import Flag
from mailwright.tls.certificates import ensure_self_signed

TEXT = "From: bob@b.example\nTo: alice@example.org\nSubject: Mail {n}\nMessage-ID: <{n}@b.example>\n\nHello {n}\n"


def kept(shell: Shell) -> dict[str, list[tuple[str, int, int, str]]]:
    """Subject, flags, date and keywords of all messages, by mailbox."""

    def all_of(tx: Transaction) -> dict[str, list[tuple[str, int, int, str]]]:
        found: dict[str, list[tuple[str, int, int, str]]] = {}
        for name, subject, flags, date, keywords in tx.all(
            "SELECT b.name, m.subject, p.flags, p.internal_date, p.keywords FROM marked p"
            " JOIN messages m ON m.id = p.message"
            " JOIN mailboxes b ON b.account = p.account AND b.id = p.mailbox ORDER BY b.name, p.uid"
        ):
            found.setdefault(name, []).append((subject.lower(), flags, date, keywords))
        return found

    return read(load(shell.config), all_of)


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    """A Maildir as Python's mailbox module makes it: 3 messages in INBOX, 2 in Work/2024."""
    box = mailbox.Maildir(tmp_path / "Maildir")
    folder = mailbox.Maildir(tmp_path / "Maildir" / ".Work.2024")
    for n in range(5):
        message = mailbox.MaildirMessage(TEXT.format(n=n).encode())
        message.set_subdir("cur")
        message.set_flags("S" if n % 2 else "FR")
        message.set_date(1_700_000_000 + n)
        (box if n < 3 else folder).add(message)
    return tmp_path / "Maildir"


def test_a_maildir_comes_in_with_flags_and_dates(mailwright: Shell, maildir: Path) -> None:
    done = mailwright("import", "alice@example.org", maildir, "--json")
    assert done.json == {"imported": 5, "known": 0, "failed": 0}
    assert kept(mailwright) == {
        "INBOX": [
            ("mail 0", Flag.FLAGGED | Flag.ANSWERED, 1_700_000_000, ""),
            ("mail 1", Flag.SEEN, 1_700_000_001, ""),
            ("mail 2", Flag.FLAGGED | Flag.ANSWERED, 1_700_000_002, ""),
        ],
        "Work/2024": [
            ("mail 3", Flag.SEEN, 1_700_000_003, ""),
            ("mail 4", Flag.FLAGGED | Flag.ANSWERED, 1_700_000_004, ""),
        ],
    }


@pytest.mark.parametrize("files", [False, True], ids=["in the database", "in files"])
def test_messages_come_in_the_order_in_which_they_are_there(
    mailwright: Shell, tmp_path: Path, files: bool
) -> None:
    if files:
        with mailwright.config.open("a") as file:
            file.write('\n[store]\nblobs = "blobs"\n')
    box = mailbox.mbox(tmp_path / "box")
    for n in range(150):
        box.add(TEXT.format(n=n) + f"{'x' * 59}\n" * (n * 997 % 1000))
    box.flush()
    mailwright("import", "alice@example.org", tmp_path / "box")
    (found,) = kept(mailwright).values()
    assert [subject for subject, *_ in found] == [f"mail {n}" for n in range(150)]


def test_a_second_import_brings_only_what_is_new(mailwright: Shell, maildir: Path) -> None:
    mailwright("import", "alice@example.org", maildir)
    (maildir / "new" / "9.x").write_text(TEXT.format(n=9))
    assert mailwright("import", "alice@example.org", maildir, "--json").json == {
        "imported": 1,
        "known": 5,
        "failed": 0,
    }


@pytest.mark.parametrize("kind", ["maildir", "mbox"])
def test_out_and_in_again_is_the_same(mailwright: Shell, maildir: Path, tmp_path: Path, kind: str) -> None:
    (maildir / "cur" / "k:2,Sab").write_text(TEXT.format(n=9))
    (maildir / "dovecot-keywords").write_text("0 $Junk\n1 Bill\n")
    (maildir / ".&XeVPXA-" / "cur").mkdir(parents=True)
    (maildir / ".&XeVPXA-" / "cur" / "1:2,F").write_text(TEXT.format(n=8))
    mailwright("import", "alice@example.org", maildir)
    before = kept(mailwright)
    assert set(before) == {"INBOX", "Work/2024", "工作"}
    assert {keywords for box in before.values() for *_, keywords in box} == {"", "$Junk Bill"}
    out = tmp_path / "out"
    assert mailwright("export", "alice@example.org", out, "--format", kind, "--json").json["written"] == 7
    again = mailwright("import", "alice@example.org", out, "--json")
    assert again.json == {"imported": 0, "known": 7, "failed": 0}  # octet for octet
    mailwright("account", "add", "new@example.org", "--generate")
    mailwright("import", "new@example.org", out)
    mailwright("account", "remove", "alice@example.org", "--yes")
    assert kept(mailwright) == before


def test_a_folder_that_cannot_be_is_told_and_the_others_come_in(mailwright: Shell, maildir: Path) -> None:
    (maildir / ".Public.x" / "cur").mkdir(parents=True)
    (maildir / ".Public.x" / "cur" / "1:2,S").write_text(TEXT.format(n=9))
    done = mailwright("import", "alice@example.org", maildir, "--json")
    assert (done.code, done.json) == (Exit.FAILED, {"imported": 5, "known": 0, "failed": 1})
    assert "Public/x is a name of shared mailboxes; rename it, or name another with --mailbox\n" in done.err
    assert (
        mailwright("import", "alice@example.org", maildir, "--mailbox", "Old", "--json").json["imported"] == 6
    )


def test_no_mailbox_is_written_over_another(mailwright: Shell, maildir: Path, tmp_path: Path) -> None:
    names = ("a\\b", "a_b", ".", "_", "./x", "x", "../y", "...")
    for name in names:
        mailwright("import", "alice@example.org", maildir / ".Work.2024", "--mailbox", name)
    done = mailwright("export", "alice@example.org", tmp_path / "out", "--format", "mbox", "--json")
    assert (done.code, done.json) == (Exit.FAILED, {"written": 12, "known": 0, "failed": 4})
    for name in ("./x", "../y"):
        assert (
            f"{name}: no file can have its name here: it would be in the folder of another; rename it\n"
            in done.err
        )
    found = [box for box in (tmp_path / "out").iterdir() if box.stat().st_size]
    assert sorted(box.name for box in found) == sorted(f"{name}.mbox" for name in names if "/" not in name)


@pytest.mark.parametrize("kind", ["maildir", "mbox"])
def test_a_mailbox_whose_name_no_file_can_have_is_told_and_the_others_are_written(
    mailwright: Shell, maildir: Path, tmp_path: Path, kind: str
) -> None:
    long = "/".join(["项目会议记录" * 6] * 3)  # more than 255 octets in modified UTF-7
    strange = {"maildir": [long], "mbox": ["foo", "foo.mbox/bar"]}[kind]
    written = 2 * len(strange) + 2
    for name in (*strange, "new/cur", "z"):
        mailwright("import", "alice@example.org", maildir / ".Work.2024", "--mailbox", name)
    before = kept(mailwright)
    done = mailwright("export", "alice@example.org", tmp_path / "out", "--format", kind, "--json")
    assert (done.code, done.json) == (Exit.FAILED, {"written": written, "known": 0, "failed": 2})
    assert f"{strange[-1]}: no file can have its name here: " in done.err
    mailwright("account", "add", "new@example.org", "--generate")
    mailwright("import", "new@example.org", tmp_path / "out")
    mailwright("account", "remove", "alice@example.org", "--yes")
    before.pop(strange[-1])
    assert kept(mailwright) == before


def test_nothing_of_a_removed_account_stays(mailwright: Shell, maildir: Path) -> None:
    mailwright("import", "alice@example.org", maildir)
    mailwright("account", "app-password", "add", "alice@example.org", "phone")
    mailwright("account", "reindex", "alice@example.org")
    mailwright("alias", "add", "sales@example.org", "alice@example.org")

    def rows(tx: Transaction) -> dict[str, int]:
        tables = [name for (name,) in tx.all("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        with_account = [
            name
            for name in tables
            if tx.one(f"SELECT 1 FROM pragma_table_info('{name}') WHERE name = 'account'")
        ]
        with_account += ["accounts", "messages", "aliases", "search_texts"]
        return {name: (tx.one(f"SELECT count(*) FROM {name}") or (0,))[0] for name in with_account}

    before = {name for name, count in read(load(mailwright.config), rows).items() if count}
    assert {"places", "mailboxes", "marks", "credentials", "search_state", "search_texts"} <= before
    mailwright("account", "remove", "alice@example.org", "--yes")
    assert not {name for name, count in read(load(mailwright.config), rows).items() if count}


def test_python_reads_the_exported_maildir(mailwright: Shell, maildir: Path, tmp_path: Path) -> None:
    mailwright("import", "alice@example.org", maildir)
    out = tmp_path / "out"
    mailwright("export", "alice@example.org", out)
    box = mailbox.Maildir(out, create=False)
    assert sorted(message["Subject"] for message in box) == ["Mail 0", "Mail 1", "Mail 2"]
    assert "Work.2024" in box.list_folders()
    (first,) = [message for message in box if message["Subject"] == "Mail 0"]
    assert (first.get_flags(), first.get_date()) == ("FR", 1_700_000_000)
    assert mailwright("export", "alice@example.org", out, "--json").json == {
        "written": 0,
        "known": 5,
        "failed": 0,
    }


def test_the_names_of_exported_files_tell_their_sizes(
    mailwright: Shell, maildir: Path, tmp_path: Path
) -> None:
    """Dovecot reads no message whose file is not as large as its name says."""
    mailwright("import", "alice@example.org", maildir)
    mailwright("export", "alice@example.org", tmp_path / "out")
    for path in (tmp_path / "out" / "cur").iterdir():
        text = path.read_bytes()
        wire = text.replace(b"\n", b"\r\n")
        assert f",S={len(text)},W={len(wire)}:2," in path.name


def test_one_mailbox_only(mailwright: Shell, maildir: Path, tmp_path: Path) -> None:
    mailwright("import", "alice@example.org", maildir)
    out = tmp_path / "out"
    assert (
        mailwright("export", "alice@example.org", out, "--mailbox", "Work/2024", "--json").json["written"]
        == 2
    )
    mailwright("import", "alice@example.org", maildir, "--mailbox", "Bücher")
    for name, messages in (
        ("inbox", 3),
        ("Bu\u0308cher", 3),
    ):  # in any case; as a terminal of macOS writes it
        assert (
            mailwright("export", "alice@example.org", out, "--mailbox", name, "--json").json["written"]
            == messages
        )
    done = mailwright("export", "alice@example.org", out, "--mailbox", "Wrk")
    assert (done.code, "no mailbox Wrk" in done.err) == (Exit.FAILED, True)


def test_a_message_over_quota_is_told_and_the_others_come_in(mailwright: Shell, maildir: Path) -> None:
    mailwright("account", "quota", "alice@example.org", "300")
    done = mailwright("import", "alice@example.org", maildir)
    assert done.code == Exit.FAILED
    assert "no room" in done.err
    assert 0 < sum(len(messages) for messages in kept(mailwright).values()) < 5


def test_a_message_that_cannot_be_read_is_told_and_the_others_come_in(
    mailwright: Shell, maildir: Path
) -> None:
    (maildir / "cur" / "lost:2,").symlink_to(maildir / "nowhere")
    done = mailwright("import", "alice@example.org", maildir, "--json")
    assert (done.code, done.json) == (Exit.FAILED, {"imported": 5, "known": 0, "failed": 1})
    assert "lost:2,: cannot be read" in done.err


def test_a_store_that_is_full_ends_the_import_with_one_line(
    mailwright: Shell, maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, calls = arrivals.add, 0

    def full(*args: Any, **more: Any) -> object:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise StoreFull("the disk is full")
        return add(*args, **more)

    with monkeypatch.context() as patched:
        patched.setattr(arrivals, "add", full)
        done = mailwright("import", "alice@example.org", maildir, "--json")
    assert (done.code, done.out, done.err) == (Exit.TEMPORARY, "", "mailwright: the disk is full\n")
    again = mailwright("import", "alice@example.org", maildir, "--json")
    assert again.json["imported"] + again.json["known"] == 5


def test_folders_that_cannot_be_read_or_named_are_told_and_the_others_come_in(
    mailwright: Shell, maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = Path(os.fsdecode(b"\xb9\xa4\xd7\xf7"))  # in GB 2312
    (maildir / strange / "cur").mkdir(parents=True)
    (maildir / ".Half" / "cur").mkdir(parents=True)
    (maildir / "Closed").mkdir()
    closed = {maildir / "Closed": "Closed", maildir / ".Half" / "cur": ".Half/cur"}
    scandir = os.scandir

    def refused(path: Path) -> object:
        if path in closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    done = mailwright("import", "alice@example.org", maildir, "--json")
    assert (done.code, done.json["imported"]) == (Exit.FAILED, 5)
    for name in closed.values():
        assert done.err.count(f"/{name}: cannot be read: Permission denied\n") == 1
    assert "; rename it" in done.err


def test_who_cannot_be_asked_must_say_it_beforehand(mailwright: Shell, tmp_path: Path) -> None:
    mailwright("backup", tmp_path / "b")
    for words in (("restore", tmp_path / "b"), ("account", "remove", "alice@example.org")):
        done = mailwright(*words)
        assert done.code == Exit.USAGE
        assert "give --yes" in done.err
        assert mailwright(*words, stdin="n\n").code == Exit.FAILED
    assert "give --hostname" in mailwright("init", "--config", tmp_path / "other.toml").err
    assert mailwright("account", "list", "--json").json[0]["address"] == "alice@example.org"


def test_an_account_that_is_not_there(mailwright: Shell, maildir: Path) -> None:
    done = mailwright("import", "bob@example.org", maildir)
    assert (done.code, done.err) == (Exit.FAILED, "mailwright: no account bob@example.org\n")


def test_a_large_message_comes_back_octet_for_octet(mailwright: Shell, tmp_path: Path) -> None:
    body = b"".join(hashlib.sha256(n.to_bytes(4, "big")).hexdigest().encode() + b"\n" for n in range(30_000))
    for part in ("cur", "new", "tmp"):
        (tmp_path / "in" / part).mkdir(parents=True)
    (tmp_path / "in" / "cur" / "1:2,").write_bytes(b"Subject: large\n\n" + body)
    mailwright("import", "alice@example.org", tmp_path / "in")
    mailwright("export", "alice@example.org", tmp_path / "out")
    (file,) = (tmp_path / "out" / "cur").iterdir()
    assert file.read_bytes() == b"Subject: large\n\n" + body


def test_a_backup_while_others_write_is_whole(mailwright: Shell, maildir: Path, tmp_path: Path) -> None:
    mailwright("import", "alice@example.org", maildir)
    database = load(mailwright.config).database
    stop = threading.Event()

    def write() -> None:
        connection = apsw.Connection(database)
        connection.set_busy_timeout(60_000)
        connection.execute("CREATE TABLE IF NOT EXISTS noise (n INTEGER, data BLOB)")
        n = 0
        while not stop.is_set():
            connection.execute("INSERT INTO noise VALUES (?, ?)", (n, os.urandom(5000)))
            n += 1
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        done = mailwright("backup", tmp_path / "backup", "--json")
    finally:
        stop.set()
        writer.join()
    assert (done.json["messages"], done.json["contents_verified"]) == (5, 5)
    assert (tmp_path / "backup" / "dkim" / "example.org").is_dir()


def test_a_backup_waits_for_who_holds_the_store_a_moment(mailwright: Shell, tmp_path: Path) -> None:
    connection = apsw.Connection(load(mailwright.config).database)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    timer = threading.Timer(0.5, connection.close)
    timer.start()
    done = mailwright("backup", tmp_path / "backup")
    timer.join()
    assert (done.code, done.err) == (Exit.OK, "")


def test_a_restored_backup_is_the_store_of_then(mailwright: Shell, maildir: Path, tmp_path: Path) -> None:
    mailwright("import", "alice@example.org", maildir)
    before = kept(mailwright)
    assert mailwright("backup", tmp_path / "backup").code == Exit.OK
    mailwright("account", "remove", "alice@example.org", "--yes")
    done = mailwright("restore", tmp_path / "backup", "--yes")
    assert done.code == Exit.OK, done
    assert kept(mailwright) == before
    (aside,) = (mailwright.folder / "data").glob("before-restore-*")
    assert (aside / "mail.sqlite").exists()
    assert str(aside) in done.out


def test_a_backup_never_overwrites(mailwright: Shell, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").write_text("mine")
    assert mailwright("backup", tmp_path / "b").code == Exit.FAILED
    assert (tmp_path / "b" / "x").read_text() == "mine"


def test_a_damaged_message_stops_the_backup(mailwright: Shell, maildir: Path, tmp_path: Path) -> None:
    mailwright("import", "alice@example.org", maildir)
    connection = apsw.Connection(load(mailwright.config).database)
    connection.execute(
        "UPDATE blobs SET data = zeroblob(length(data)) WHERE id = (SELECT max(id) FROM blobs WHERE data IS NOT NULL)"
    )
    connection.close()
    done = mailwright("backup", tmp_path / "b")
    assert done.code != Exit.OK
    assert "damaged" in done.err
    assert not (tmp_path / "b").exists()


def test_a_changed_backup_is_not_restored(mailwright: Shell, tmp_path: Path) -> None:
    mailwright("backup", tmp_path / "b")
    with (tmp_path / "b" / "mail.sqlite").open("r+b") as file:
        file.seek(9000)
        file.write(b"?")
    done = mailwright("restore", tmp_path / "b", "--yes")
    assert (done.code, "was changed" in done.err) == (Exit.FAILED, True)
    assert mailwright("account", "list", "--json").json[0]["address"] == "alice@example.org"


def test_a_backup_of_a_newer_version_is_not_restored(mailwright: Shell, tmp_path: Path) -> None:
    database = load(mailwright.config).database
    connection = apsw.Connection(database)
    connection.execute("INSERT INTO schema_versions VALUES (9999, 'newer')")
    mailwright("backup", tmp_path / "b")
    connection.execute("DELETE FROM schema_versions WHERE version = 9999")
    connection.close()
    done = mailwright("restore", tmp_path / "b", "--yes")
    assert (done.code, "schema version 9999" in done.err) == (Exit.FAILED, True)
    assert mailwright("account", "list").code == Exit.OK


def test_no_restore_under_a_running_server(mailwright: Shell, tmp_path: Path) -> None:
    mailwright("backup", tmp_path / "b")
    with lock_data(load(mailwright.config)):
        done = mailwright("restore", tmp_path / "b", "--yes")
    assert (done.code, "stop it first" in done.err) == (Exit.FAILED, True)


def test_what_a_restore_replaces_is_moved_aside_whole(mailwright: Shell, tmp_path: Path) -> None:
    data = mailwright.folder / "data"
    (data / "key.pem").write_text("old")
    mailwright("backup", tmp_path / "b")
    (data / "key.pem").write_text("new")
    assert mailwright("restore", tmp_path / "b", "--yes").code == Exit.OK
    (aside,) = data.glob("before-restore-*")
    assert ((data / "key.pem").read_text(), (aside / "key.pem").read_text()) == ("old", "new")
    assert not list(data.glob("*.restoring"))


def test_a_restore_that_fails_changes_nothing(
    mailwright: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailwright("backup", tmp_path / "b")
    mailwright("account", "add", "bob@example.org", "--generate")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "b/mail.sqlite", None, "data/mail.sqlite")

    monkeypatch.setattr(shutil, "copy2", full)
    done = mailwright("restore", tmp_path / "b", "--yes")
    assert (done.code, done.err) == (
        Exit.TEMPORARY,
        "mailwright: cannot use data/mail.sqlite: No space left on device; make room there, and run this again\n",
    )
    assert len(mailwright("account", "list", "--json").json) == 2
    assert not list((mailwright.folder / "data").glob("*restor*"))


def test_what_root_makes_belongs_to_the_server(mailwright: Shell, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        return  # others can make nothing for the server
    data = mailwright.folder / "data"
    for path in [data, *data.rglob("*")]:
        os.chown(path, 65_534, 65_534)
    assert mailwright("domain", "add", "two.example").code == Exit.OK
    assert mailwright("backup", tmp_path / "b").code == Exit.OK
    assert mailwright("restore", tmp_path / "b", "--yes").code == Exit.OK
    ensure_self_signed(data, ["mail.example.org"])  # as `serve` does
    names = {path.name: path.stat().st_uid for path in data.rglob("*")}
    assert set(names.values()) == {65_534}, names
    assert "two.example" in names


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("mail.sqlite", b"", "no store of ours"),
        ("mail.sqlite", b"?" * 100_000, "file is not a database"),
        ("manifest.json", b"[]", "it is not as `mailwright backup` writes it"),
        ("manifest.json", b'{"files": []}', "it is not as `mailwright backup` writes it"),
        ("manifest.json", b"{", "it cannot be read"),
        ("manifest.json", None, "it is not there"),
    ],
)
def test_what_is_no_backup_is_told(
    mailwright: Shell, tmp_path: Path, name: str, content: bytes | None, told: str
) -> None:
    mailwright("backup", tmp_path / "b")
    path = tmp_path / "b" / name
    path.unlink() if content is None else path.write_bytes(content)
    if content is not None and name != "manifest.json":
        manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
        manifest["files"][name] = hashlib.sha256(content).hexdigest()
        (tmp_path / "b" / "manifest.json").write_text(json.dumps(manifest))
    done = mailwright("restore", tmp_path / "b", "--yes")
    assert (done.code, done.out) == (Exit.FAILED, "")
    assert told in done.err


def test_a_store_that_is_damaged_is_told_by_the_backup(mailwright: Shell, tmp_path: Path) -> None:
    database = mailwright.folder / "data" / "mail.sqlite"
    database.write_bytes(b"?" * 100_000)
    done = mailwright("backup", tmp_path / "b")
    assert (done.code, "file is not a database" in done.err) == (Exit.FAILED, True)
    assert not (tmp_path / "b").exists()


def test_a_backup_for_another_place_of_the_bodies_is_not_restored(mailwright: Shell, tmp_path: Path) -> None:
    mailwright("backup", tmp_path / "b")
    with mailwright.config.open("a") as file:
        file.write('\n[store]\nblobs = "blobs"\n')
    done = mailwright("restore", tmp_path / "b", "--yes")
    assert (done.code, "see [store] blobs" in done.err) == (Exit.FAILED, True)
    assert mailwright("backup", tmp_path / "c", "--json").json["messages"] == 0
    assert mailwright("restore", tmp_path / "c", "--yes").code == Exit.OK


class Killed(BaseException):
    """What ends a command at once, as SIGKILL does: nothing of it tidies up."""


@pytest.mark.parametrize("step", range(1, 7))
def test_a_restore_that_is_killed_halfway_is_never_served(
    mailwright: Shell, maildir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    with mailwright.config.open("a") as file:
        file.write('\n[store]\nblobs = "blobs"\n')
    mailwright("import", "alice@example.org", maildir)
    before = kept(mailwright)
    assert mailwright("backup", tmp_path / "b").code == Exit.OK
    mailwright("account", "remove", "alice@example.org", "--yes")
    steps = 0

    def stopped(change: Callable[..., object]) -> Callable[..., object]:
        def run(*args: object) -> object:
            nonlocal steps
            steps += 1
            if steps == step:
                raise Killed
            return change(*args)

        return run

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "move", stopped(shutil.move))
        patched.setattr(Path, "rename", stopped(Path.rename))
        with pytest.raises(Killed):
            mailwright("restore", tmp_path / "b", "--yes")
    for command in (("serve",), ("account", "list"), ("backup", tmp_path / "c")):
        done = mailwright(*command)
        assert (done.code, f"`mailwright restore {tmp_path / 'b'}`" in done.err) == (Exit.FAILED, True)
    checks = {check["what"]: check for check in mailwright("doctor", "--offline", "--json").json}
    assert checks["store"]["level"] == "wrong"
    assert mailwright("restore", tmp_path / "b", "--yes").code == Exit.OK
    assert kept(mailwright) == before
    assert not list((mailwright.folder / "data").glob("*.restoring"))


def test_two_restores_in_a_second_keep_apart_what_they_replace(mailwright: Shell, tmp_path: Path) -> None:
    mailwright("backup", tmp_path / "b")
    mailwright("account", "add", "bob@example.org", "--generate")
    for _ in range(2):
        assert mailwright("restore", tmp_path / "b", "--yes").code == Exit.OK
    first, second = sorted((mailwright.folder / "data").glob("before-restore-*"), key=lambda path: path.name)
    assert digest(first / "mail.sqlite") != digest(second / "mail.sqlite")


@pytest.fixture
def on_disk(mailwright: Shell, maildir: Path) -> Shell:
    """An installation whose messages are files, with those of `maildir`."""
    with mailwright.config.open("a") as file:
        file.write('\n[store]\nblobs = "blobs"\n')
    mailwright("import", "alice@example.org", maildir)
    return mailwright


def test_a_place_for_messages_that_is_no_folder_is_told(
    mailwright: Shell, maildir: Path, tmp_path: Path
) -> None:
    (tmp_path / "blobs").write_text("")
    with mailwright.config.open("a") as file:
        file.write('\n[store]\nblobs = "blobs"\n')
    done = mailwright("import", "alice@example.org", maildir)
    assert done.code == Exit.TEMPORARY
    why = f"cannot keep a blob in {tmp_path / 'blobs'}: Not a directory; run `mailwright doctor`"
    assert done.err == f"mailwright: {why}\n"
    (wrong,) = [each for each in mailwright("doctor", "--offline", "--json").json if each["level"] == "wrong"]
    assert wrong["text"] == f"{tmp_path / 'blobs'} is no folder that this user can write to"


def test_a_defect_ends_an_import(mailwright: Shell, maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(arrivals, "add", defect)
    with pytest.raises(ZeroDivisionError):
        mailwright("import", "alice@example.org", maildir)


def test_only_the_server_can_read_messages_on_disk(on_disk: Shell, tmp_path: Path) -> None:
    blobs, keys = on_disk.folder / "blobs", on_disk.folder / "data" / "dkim"
    keys.chmod(0o700)
    assert {path.stat().st_mode & 0o777 for path in (blobs, *blobs.iterdir())} == {0o700}
    on_disk("backup", tmp_path / "b")
    assert on_disk("restore", tmp_path / "b", "--yes").code == Exit.OK
    assert {path.stat().st_mode & 0o777 for path in (keys, blobs, *blobs.iterdir())} == {0o700}


def test_a_backup_is_not_made_within_what_it_copies(on_disk: Shell) -> None:
    done = on_disk("backup", on_disk.folder / "blobs" / "b")
    assert (done.code, "name another" in done.err) == (Exit.FAILED, True)


def test_a_disk_that_is_full_is_told_once_and_no_half_backup_stays(
    on_disk: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: object, target: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", source, None, target)

    monkeypatch.setattr(shutil, "copy2", full)
    done = on_disk("backup", tmp_path / "b")
    assert (done.code, done.err.count("No space left on device"), str(tmp_path / "b") in done.err) == (
        Exit.TEMPORARY,
        1,
        True,
    )
    assert not (tmp_path / "b").exists()


def test_where_a_database_finds_no_room_is_told(
    mailwright: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        raise apsw.FullError("not an error")

    monkeypatch.setattr(backup, "_copy", full)
    done = mailwright("backup", tmp_path / "b")
    assert (done.code, f"{tmp_path / 'b' / 'mail.sqlite'}: No space left" in done.err) == (
        Exit.TEMPORARY,
        True,
    )


def test_mail_that_goes_and_comes_while_a_backup_is_made_is_in_it(
    on_disk: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A running server unlinks a message's file within a minute after it is expunged."""
    copy = backup._copy
    before = {name: [each[0] for each in box] for name, box in kept(on_disk).items()}
    (tmp_path / "new.mbox").write_text(f"From a@b Thu Jan  1 00:00:00 1970\n{TEXT.format(n=9)}")
    old = min((on_disk.folder / "blobs").iterdir())

    def meanwhile(source: Path, target: Path) -> None:
        on_disk("import", "alice@example.org", tmp_path / "new.mbox")
        copy(source, target)
        on_disk("account", "remove", "alice@example.org", "--yes")
        shutil.rmtree(old)

    with monkeypatch.context() as patched:
        patched.setattr(backup, "_copy", meanwhile)
        done = on_disk("backup", tmp_path / "b")
    assert done.code == Exit.OK, done
    assert on_disk("restore", tmp_path / "b", "--yes").code == Exit.OK
    before["INBOX"].append("mail 9")
    assert {name: [each[0] for each in box] for name, box in kept(on_disk).items()} == before


@pytest.mark.parametrize("kind", ["maildir", "mbox"])
def test_an_export_that_finds_no_room_says_so(
    mailwright: Shell, maildir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mailwright("import", "alice@example.org", maildir)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(mailfiles, "write_mbox", full)
    done = mailwright("export", "alice@example.org", tmp_path / "out", "--format", kind)
    assert (done.code, done.err) == (
        Exit.TEMPORARY,
        "mailwright: the disk is full; make room there, and run this again\n",
    )
