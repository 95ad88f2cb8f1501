"""How the processes on one PostgreSQL database know of each other which of them live: by locks that end with them."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from typing import Final

import psycopg

from mailwright.store.db.api import Transaction
from mailwright.store.db.postgres import connect_alone

log = logging.getLogger(__name__)

_NAME: Final = "mailwright presence"  # in pg_stat_activity
_HEARTBEAT: Final = 5.0  # seconds between two looks whether the lock is still ours
_RETRY: Final = 1.0  # seconds until a lock that was lost is taken again
_ABSENT: Final = 20.0  # seconds without a lock after which a process is dead: who lives has taken it again

# A process that only the network parts from the server lives. So the server takes its lock no sooner than leases end.
_LONG_LIVED: Final = b"SET tcp_keepalives_idle = 900; SET tcp_user_timeout = 0"


class PostgresPresence:
    """That this process lives, and which others do not.

    A process that is killed gives its lock up at once, since the system closes its connections. All locks are gone when
    the server is started again or another takes its place: there a lock is missed only if it was held there.
    """

    def __init__(self, dsn: str, *, absent: float = _ABSENT) -> None:
        self.name = secrets.token_hex(8)
        self.session = 0
        self._dsn = dsn
        self._absent = absent
        self._taken = 0
        self._missed: dict[str, float] = {}  # since when
        self._task: asyncio.Task[None] | None = None

    async def start(self, on_taken: Callable[[], None]) -> None:
        """Take the lock, and again whenever it is lost; `on_taken` is called then."""
        self._task = asyncio.get_running_loop().create_task(self._stay(on_taken))

    async def stop(self) -> None:
        """Give it up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def gone(self, tx: Transaction) -> list[str]:
        """Those that are dead for all one knows; `bury` makes sure. A store operation."""
        held = {int(key) for (key,) in tx.all(_HELD)}
        now = time.monotonic()
        self._missed = {
            name: self._missed.get(name, now)
            for (name,) in tx.all("SELECT name FROM presences WHERE name <> ?", self.name)
            if _key(name) not in held
        }
        return [name for name, since in self._missed.items() if now - since >= self._absent]

    def bury(self, tx: Transaction, name: str) -> bool:
        """Forget a process; whether it is proved to be dead. A store operation."""
        if tx.one("SELECT pg_try_advisory_xact_lock(?)", _key(name)) != (True,):
            return False
        return tx.one(_BURY, name) == (True,)

    async def _stay(self, on_taken: Callable[[], None]) -> None:
        lost = False
        while True:
            try:
                async with await connect_alone(self._dsn, _NAME) as connection:
                    await connection.execute(_LONG_LIVED)
                    # Shared with sessions of ours of which the server does not know yet that they have ended.
                    await connection.execute("SELECT pg_advisory_lock_shared(%s)", (_key(self.name),))
                    await connection.execute(_PRESENT, (self.name,))
                    self._taken, lost = self._taken + 1, False
                    self.session = self._taken
                    on_taken()
                    while True:
                        async for _ in connection.notifies(timeout=_HEARTBEAT):
                            pass
                        await connection.execute("SELECT 1")
            except psycopg.Error as error:
                told = log.debug if lost else log.warning
                told("nothing is sent until the others can know that this process lives: %s", error)
                lost = True
            finally:
                self.session = 0
            await asyncio.sleep(_RETRY)


def _key(name: str) -> int:
    return int.from_bytes(bytes.fromhex(name), signed=True)


_HELD: Final = (
    "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1"
    " AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_SERVER: Final = "extract(epoch FROM pg_postmaster_start_time())::text"  # a standby has another one
_PRESENT: Final = (
    f"INSERT INTO presences (name, server) VALUES (%s, {_SERVER})"  # noqa: S608
    " ON CONFLICT (name) DO UPDATE SET server = excluded.server"
).encode()
_BURY: Final = f"DELETE FROM presences WHERE name = ? RETURNING server = {_SERVER}"  # noqa: S608
