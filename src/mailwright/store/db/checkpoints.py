"""Copies SQLite's write-ahead log back into the database, beside the writer, so that no commit waits for it.

The log begins anew only when all of it is copied, and under load there is always something more in it. So a thread
copies what is much, and when little is left, the writer copies that itself, between two commits.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import apsw

log = logging.getLogger(__name__)

_PAGES = 8_000  # of the log, from which on it is copied back: commits share the disk with that
_FEW = 100  # pages left, which the writer copies in a moment
_FEW_WAIT = 0.01  # seconds that it waits for readers, then
_MOST = 24_000  # pages from which on the writer waits for a whole checkpoint, so that the log stays bounded
_MOST_WAIT = 0.2  # seconds that it waits for readers, then
_PAUSE = 2.0  # seconds without waiting again
_STEP = 500  # pages after which to try again what a reader was in the way of


class Checkpointer:
    """A thread with a connection of its own; the writer tells it of what it does."""

    def __init__(self, connect: Callable[[], apsw.Connection]) -> None:
        self._connect = connect
        self._thread = threading.Thread(target=self._run, name="store-checkpoint", daemon=True)
        self._wanted = threading.Event()
        self._closing = False
        self._pages = 0  # of the log, after the last commit
        self._copied = 0  # of them, by the thread
        self._next = _PAGES  # pages from which on there is something to do
        self._copying = False
        self._wait_at = 0.0

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End soon; `join` waits for it."""
        self._closing = True
        self._wanted.set()

    def join(self) -> None:
        self._thread.join()

    def after_commit(self, connection: apsw.Connection, name: str, pages: int) -> int:
        """The WAL hook of the writer's connection: the log has so many pages now."""
        if pages < self._pages:
            self._copied, self._next = 0, _PAGES  # it began anew
        self._pages = pages
        return apsw.SQLITE_OK

    @property
    def due(self) -> bool:
        """Whether there is something to do `between_commits`."""
        return self._pages >= self._next and not self._copying

    def between_commits(self, connection: apsw.Connection) -> None:
        """For the writer, with its connection, when it has answered those who waited for a commit."""
        if self._pages >= _MOST and (now := time.monotonic()) >= self._wait_at:
            if not self._begin_anew(connection, _MOST_WAIT):
                self._wait_at = now + _PAUSE
        elif not 0 <= self._pages - self._copied <= _FEW:  # below 0: of a log that began anew meanwhile
            self._copying = True
            self._wanted.set()
        elif not self._begin_anew(connection, _FEW_WAIT):
            self._next = self._pages + _STEP

    def _begin_anew(self, connection: apsw.Connection, wait: float) -> bool:
        """Copy all that is left, unless a reader such as a backup is longer in the way: then the log grows."""
        connection.set_busy_timeout(int(wait * 1000))
        found = _checkpoint(connection, apsw.SQLITE_CHECKPOINT_RESTART)
        connection.set_busy_timeout(0)
        if found is None:
            return False
        self._pages, self._copied, self._next = 0, 0, _PAGES
        return True

    def _run(self) -> None:
        connection: apsw.Connection | None = None
        while not self._closing:
            self._wanted.wait()
            self._wanted.clear()
            if not self._closing:
                connection = connection or self._open()
                self._copy(connection)
                self._copying = False
        if connection is not None:
            connection.close()

    def _open(self) -> apsw.Connection | None:
        try:
            return self._connect()
        except apsw.Error as error:
            log.warning("the write-ahead log cannot be copied back, it will be tried again: %s", error)
            return None

    def _copy(self, connection: apsw.Connection | None) -> None:
        found = _checkpoint(connection, apsw.SQLITE_CHECKPOINT_PASSIVE) if connection is not None else None
        pages, self._copied = found or (1, 0)
        if self._copied < pages:  # someone reads what the database holds, or the disk fails
            self._next = self._pages + _STEP


def _checkpoint(connection: apsw.Connection, mode: int) -> tuple[int, int] | None:
    """The pages of the log and how many of them are copied; None: it could not be done."""
    try:
        return connection.wal_checkpoint(mode=mode)
    except apsw.BusyError:
        pass  # another is at it, or a reader in the way
    except apsw.Error as error:
        log.warning("checkpoint failed, it will be tried again: %s", error)
    return None
