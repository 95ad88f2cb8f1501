"""What tests in several rooms share."""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support.postgres import PostgresServer
from support.stores import with_tables

from mailwright.store.blobs.database import DatabaseBlobs
from mailwright.store.db.postgres import PostgresDatabase
from mailwright.store.db.sqlite import SQLiteDatabase

# However busy the machine is, an example that takes long is no failure.
settings.register_profile(
    "unhurried", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two more than there are processors: tests wait for programs, for disks, and for time to pass."""
    return len(os.sched_getaffinity(0)) + 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first, so that no worker has one left when the others are done."""
    items.sort(key=lambda item: item.path.parent.name != "crash")


def pytest_collection_finish() -> None:
    """What is loaded stays: the collector need not look at it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The DSN of a database of the test's own, in which no mail is."""
    with postgres_server.database() as dsn:
        yield dsn


@pytest.fixture(params=["sqlite", "postgres"])
async def db(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[SQLiteDatabase | PostgresDatabase]:
    """A test that takes it runs over both databases."""
    database: SQLiteDatabase | PostgresDatabase
    if request.param == "sqlite":
        database = SQLiteDatabase(with_tables(tmp_path / "mail.db"), DatabaseBlobs())
    else:
        database = PostgresDatabase(request.getfixturevalue("postgres_database"), DatabaseBlobs())
    await database.start()
    yield database
    await database.close()
