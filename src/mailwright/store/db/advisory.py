"""Locks that the processes on one PostgreSQL database share: its advisory locks, held by a connection of ours."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import psycopg

from mailwright.store.db.postgres import LoneConnection, connect_alone
from mailwright.store.errors import StoreFailed

log = logging.getLogger(__name__)

_NAME: Final = "mailwright locks"  # in pg_stat_activity
_BASE: Final = 0x706F70 << 40  # 'pop': what these locks are numbered from, apart from the one for migrations


class AccountLocks:
    """One holder for each account, whichever process it is in. Nobody waits.

    It connects when a lock is first asked for. The locks end with the connection: when a process dies they are free at
    once. When only its connection breaks, the next who asks takes again what is held, as far as nobody else has it.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._held: dict[int, AccountLock] = {}
        self._connection: LoneConnection | None = None
        self._turn = asyncio.Lock()

    async def acquire(self, account: int) -> AccountLock | None:
        """The lock of an account; None when another holds it. Raises StoreFailed."""
        if account in self._held:
            return None
        lock = self._held[account] = AccountLock(self, account)
        taken = False
        try:
            async with self._turn:
                try:
                    taken = await self._take(account)
                except asyncio.CancelledError:
                    await self._disconnect()  # the server may have given us what nobody would release
                    raise
        finally:
            if not taken:
                del self._held[account]
        return lock if taken else None

    async def release(self, lock: AccountLock) -> None:
        """Give a lock up, if it is held."""
        if self._held.get(lock.account) is not lock:
            return
        del self._held[lock.account]
        async with self._turn:
            if self._connection is None:
                return
            try:
                await self._connection.execute("SELECT pg_advisory_unlock(%s)", (_BASE + lock.account,))
            except psycopg.Error as error:  # whatever it was, with the connection the lock ends
                log.warning("the connection that holds locks broke: %s", error)
                await self._disconnect()

    async def close(self) -> None:
        """Give up all of them."""
        async with self._turn:
            await self._disconnect()

    async def _take(self, account: int) -> bool:
        try:
            return await self._try(account)
        except psycopg.Error as error:
            log.warning("the connection that holds locks broke: %s", error)
            await self._disconnect()
        try:
            return await self._try(account)
        except psycopg.Error as error:
            await self._disconnect()
            raise StoreFailed(
                f"the database server does not answer ({error}); check that it runs and its DSN"
            ) from error

    async def _try(self, account: int) -> bool:
        if self._connection is None:
            self._connection = await connect_alone(self._dsn, _NAME)
            for other in self._held.keys() - {account}:
                await self._lock(self._connection, other)
        return await self._lock(self._connection, account)

    async def _lock(self, connection: LoneConnection, account: int) -> bool:
        cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", (_BASE + account,))
        row = await cursor.fetchone()
        return row is not None and bool(row[0])

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


class AccountLock:
    """A lock that is held."""

    __slots__ = ("_locks", "account")

    def __init__(self, locks: AccountLocks, account: int) -> None:
        self._locks = locks
        self.account = account

    async def release(self) -> None:
        """Give it up. Doing so twice does nothing."""
        await self._locks.release(self)
