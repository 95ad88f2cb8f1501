"""What tests in several rooms share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.postgres import PostgresServer


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The DSN of a database of the test's own, in which no mail is."""
    with postgres_server.database() as dsn:
        yield dsn
