"""Copies SQLite's write-ahead log back into the database, beside the writer, so that no commit waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import apsw

log = logging.getLogger(__name__)

_PAGES = 2_000  # of the log, from which on the checkpointer copies it back
_RESTART_PAGES = 8_000  # make the writer wait for a whole checkpoint, so that the log stays bounded
_RESTART_WAIT = 0.2  # seconds that a commit waits for readers, then
_RESTART_PAUSE = 2.0  # seconds without waiting again


class Checkpointer:
    """A thread with a connection of its own; the writer's is given `after_commit` as its WAL hook."""

    def __init__(self, connect: Callable[[], apsw.Connection], busy_timeout: float) -> None:
        self._connect = connect
        self._busy_timeout = busy_timeout
        self._thread = threading.Thread(target=self._run, name="store-checkpoint", daemon=True)
        self._wanted = threading.Event()
        self._closing = False
        self._restart_at = 0.0

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End soon; `join` waits for it."""
        self._closing = True
        self._wanted.set()

    def join(self) -> None:
        self._thread.join()

    def after_commit(self, connection: apsw.Connection, name: str, pages: int) -> int:
        """The log of the writer's `connection` has so many pages now."""
        if pages >= _RESTART_PAGES and time.monotonic() >= self._restart_at:
            self._restart(connection)
        elif pages >= _PAGES:
            self._wanted.set()
        return apsw.SQLITE_OK

    def _restart(self, connection: apsw.Connection) -> None:
        """A whole checkpoint, unless a reader such as a backup is long in the way: then the log grows meanwhile."""
        began = time.monotonic()
        connection.set_busy_timeout(int(_RESTART_WAIT * 1000))
        _checkpoint(connection, apsw.SQLITE_CHECKPOINT_RESTART)
        connection.set_busy_timeout(int(self._busy_timeout * 1000))
        now = time.monotonic()
        if now - began >= _RESTART_WAIT:
            self._restart_at = now + _RESTART_PAUSE

    def _run(self) -> None:
        try:
            connection = self._connect()
        except apsw.Error:
            log.exception("no checkpointer; the writer will checkpoint by itself")
            return
        while not self._closing:
            self._wanted.wait()
            self._wanted.clear()
            if not self._closing:
                _checkpoint(connection, apsw.SQLITE_CHECKPOINT_PASSIVE)
        connection.close()


def _checkpoint(connection: apsw.Connection, mode: int) -> None:
    try:
        connection.wal_checkpoint(mode=mode)
    except apsw.BusyError:
        pass  # the other thread is at it
    except apsw.Error as error:
        log.warning("checkpoint failed, it will be tried again: %s", error)
