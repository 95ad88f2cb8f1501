"""Builds the store; apart from the server, so that commands which need no more start quickly."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from mailwright.config import Config
from mailwright.store.blobs.api import BlobStore
from mailwright.store.blobs.database import DatabaseBlobs
from mailwright.store.blobs.disk import DiskBlobs
from mailwright.store.db.api import Database, Presence
from mailwright.store.errors import StoreError
from mailwright.store.notify.api import Notifier
from mailwright.store.notify.file import FileNotifier
from mailwright.store.store import Store

if TYPE_CHECKING:
    from mailwright.store.db.advisory import AccountLocks

# A file in the data folder while a backup takes the store's place; it names the backup.
UNFINISHED: Final = "restore-unfinished"


def account_locks(config: Config) -> AccountLocks | None:
    """Locks that all processes on the store share; None where there is one process only."""
    if not config.is_postgres:
        return None
    from mailwright.store.db.advisory import AccountLocks

    return AccountLocks(config.database)


def presence(config: Config) -> Presence | None:
    """Of the processes on the store; None where there is one process only."""
    if not config.is_postgres:
        return None
    from mailwright.store.db.presence import PostgresPresence

    return PostgresPresence(config.database)


def check_whole(config: Config) -> None:
    """Raises StoreError when a restore came to no end: a database would be there without its blobs, or none at all."""
    mark = config.server.data / UNFINISHED
    if mark.exists():
        source = mark.read_text("utf-8", errors="replace")
        raise StoreError(
            "a restore is under way, or was cut off: the store is neither the old one nor the backup;"
            f" run `mailwright restore {source}` to its end"
        )


def open_store(config: Config) -> Store:
    """The store that the configuration names, not started yet. Raises StoreError when it is not whole."""
    check_whole(config)
    blobs: BlobStore = (
        DatabaseBlobs() if config.store.blobs == "database" else DiskBlobs(Path(config.store.blobs))
    )
    notify: Notifier
    database: Database
    if config.is_postgres:
        from mailwright.store.db.postgres import PostgresDatabase
        from mailwright.store.notify.postgres import PostgresNotifier

        notify = PostgresNotifier(config.database)
        database = PostgresDatabase(config.database, blobs, on_change=notify.publish)
    else:
        from mailwright.store.db.sqlite import SQLiteDatabase

        notify = file = FileNotifier()
        database = SQLiteDatabase(
            config.database, blobs, on_change=notify.publish, on_others=lambda: file.others_wrote(database)
        )
    return Store(
        database, blobs, notify, config.server.data, memory_per_message=config.limits.memory_per_message
    )
