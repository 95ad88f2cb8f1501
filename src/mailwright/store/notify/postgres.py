"""Notification between the processes that share a PostgreSQL database, by LISTEN and NOTIFY.

A transaction that notifies holds a lock of the whole server while it commits, so the store's own never do: what was
committed meanwhile is told together, by one NOTIFY at a time on a connection of its own. Whoever subscribes listens on
another one. When that breaks, all that is subscribed to is looked up once it is there again, so that nothing is missed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Final

import psycopg

from mailwright.store.db.postgres import LoneConnection, connect_alone
from mailwright.store.notify.api import Subscriber
from mailwright.store.notify.local import LocalNotifier

log = logging.getLogger(__name__)

CHANNEL: Final = "mailwright"
_TOGETHER: Final = 250  # subjects in one payload, which has at most 8,000 octets
_PAUSE: Final = 0.01  # seconds between two notifications, in which changes gather
_HEARTBEAT: Final = 30.0  # seconds without a notification after which the listening connection is tried
_RETRY: Final = 1.0  # seconds until a broken connection is opened again, doubled each time
_RETRY_MOST: Final = 30.0
_FAREWELL: Final = 5.0  # seconds that the last notifications have when the server stops
_NAME: Final = "mailwright notify"  # in pg_stat_activity


class PostgresNotifier:
    """As `LocalNotifier`, and what other processes publish on the same database is told too.

    It connects when something is first published or subscribed to.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._local = LocalNotifier()
        self._waiting: dict[int, int] = {}
        self._sending: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._sender: LoneConnection | None = None
        self._ours = 0  # the server's process behind the connection that sends

    def subscribe(self, account: int, subscriber: Subscriber) -> Callable[[], None]:
        if self._listening is None:
            self._listening = asyncio.get_running_loop().create_task(self._listen())
        return self._local.subscribe(account, subscriber)

    def publish(self, account: int, modseq: int) -> None:
        self._local.publish(account, modseq)
        self._wait_to_send(account, modseq)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.get_running_loop().create_task(self._send())

    async def close(self) -> None:
        """Send what waits, as far as the database takes it within some seconds; then listen no more."""
        if self._sending is not None:
            await asyncio.wait({self._sending}, timeout=_FAREWELL)
        for task in (self._sending, self._listening):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        if self._sender is not None:
            await self._sender.close()

    # Sending

    def _wait_to_send(self, account: int, modseq: int) -> None:
        self._waiting[account] = max(modseq, self._waiting.get(account, modseq))

    async def _send(self) -> None:
        retry = 0.0
        while self._waiting:
            try:
                if self._sender is None:
                    self._sender = await connect_alone(self._dsn, _NAME)
                self._ours = self._sender.info.backend_pid
                await self._send_waiting(self._sender)
                retry = 0.0
                await asyncio.sleep(_PAUSE)
            except psycopg.Error as error:
                log.warning("other processes are not told of changes, for now: %s", error)
                if self._sender is not None:
                    await self._sender.close()
                    self._sender = None
                await asyncio.sleep(retry)
                retry = min(2 * retry or _RETRY, _RETRY_MOST)

    async def _send_waiting(self, connection: LoneConnection) -> None:
        batch, self._waiting = self._waiting, {}
        try:
            await connection.execute(
                "SELECT pg_notify(%s, payload) FROM unnest(%s::text[]) payload", (CHANNEL, list(_pack(batch)))
            )
        except psycopg.Error:
            for account, modseq in batch.items():
                self._wait_to_send(account, modseq)
            raise

    # Listening

    async def _listen(self) -> None:
        retry = _RETRY
        while True:
            try:
                async with await connect_alone(self._dsn, _NAME) as connection:
                    self._ours = 0  # a server that was started again may have given that number to another's
                    await connection.execute(f"LISTEN {CHANNEL}".encode())
                    await self._catch_up(connection)
                    retry = _RETRY
                    while True:
                        async for notification in connection.notifies(timeout=_HEARTBEAT):
                            self._hear(notification)
                        await connection.execute("SELECT 1")
            except psycopg.Error as error:
                log.warning("changes by other processes are told late, for now: %s", error)
            await asyncio.sleep(retry)
            retry = min(2 * retry, _RETRY_MOST)

    async def _catch_up(self, connection: LoneConnection) -> None:
        """Tell what may have happened while nobody listened."""
        subjects = self._local.subjects()
        cursor = await connection.execute(
            "SELECT account, modseq FROM account_state WHERE account = ANY(%s)", (subjects,)
        )
        for account, modseq in await cursor.fetchall():
            self._local.publish(account, modseq)
        for subject in subjects:
            if subject <= 0:
                self._local.publish(subject, 0)

    def _hear(self, notification: psycopg.Notify) -> None:
        if notification.pid == self._ours:
            return
        for account, modseq in _unpack(notification.payload):
            self._local.publish(account, modseq)


def _pack(changed: dict[int, int]) -> Iterator[str]:
    """Payloads: `account:modseq`, separated by spaces."""
    texts = [f"{account}:{modseq}" for account, modseq in changed.items()]
    for start in range(0, len(texts), _TOGETHER):
        yield " ".join(texts[start : start + _TOGETHER])


def _unpack(payload: str) -> Iterator[tuple[int, int]]:
    """What `_pack` made; what somebody else put there is passed over."""
    for word in payload.split():
        account, _, modseq = word.partition(":")
        try:
            yield int(account), int(modseq)
        except ValueError:
            log.warning("a notification on the channel %r is not ours: %r", CHANNEL, payload[:100])
            return
