"""Learns from the store's own mail what that is full of: a dictionary that makes what is packed later smaller.

It holds short fragments of mail, those that come most often. They stay in the database when their messages are gone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import zstandard

from mailwright.store.blobs import dictionaries, encodings
from mailwright.store.blobs.api import BlobStore
from mailwright.store.db.api import Database, Transaction
from mailwright.store.errors import StoreError, StoreFailed
from mailwright.store.model import ID_BITS

Samples = list[bytes | bytearray | memoryview]  # what zstandard asks for

log = logging.getLogger(__name__)

FIRST: Final = 256  # blobs that were kept before the first dictionary is learned
GROWTH: Final = 16  # another is learned when there are so many times as many
_SAMPLES: Final = 1024  # messages that one is learned from
_SAMPLE_OCTETS: Final = 8192  # of each
_SIZE: Final = 160 * 1024  # octets of a dictionary
_FRAGMENT: Final = 128  # octets
_GRAIN: Final = 8  # octets that make two fragments alike


class Learner:
    """Has the blob store's codec pack with the newest dictionary, and learns another when it is time."""

    def __init__(self, db: Database, blobs: BlobStore, off_loop: Callable[..., Awaitable[Any]]) -> None:
        self._db = db
        self._blobs = blobs
        self._off_loop = off_loop
        self._at = FIRST
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Adopt the newest dictionary of the database. One that is damaged keeps nobody from sending mail."""
        try:
            await self._adopt_newest()
        except StoreFailed as error:
            log.warning("new mail is packed without a dictionary of the store's own: %s", error)

    async def close(self) -> None:
        """Finish what is being learned."""
        if self._task is not None:
            await self._task

    def notice(self) -> None:
        """A message comes: begin to learn, beside everything else, if it is time."""
        if self._blobs.newest >= self._at and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._learn())

    async def _adopt_newest(self) -> None:
        newest = await self._db.read(dictionaries.read_newest)
        if newest is not None:
            number, blobs = newest
            self._blobs.codec.adopt(number, await self._db.read(dictionaries.read, number))
            self._at = max(FIRST, blobs * GROWTH)

    async def _learn(self) -> None:
        blobs = self._blobs.newest
        self._at = blobs * 2  # when this fails
        try:
            await self._adopt_newest()  # another process may have learned it
            if self._at > blobs * 2:
                return
            samples = await self._db.read(read_samples)
            data = await self._off_loop(train, samples)
            if data is not None:
                number = await self._db.write(dictionaries.keep, data, blobs, int(time.time()))
                self._blobs.codec.adopt(number, data)  # durable now
                self._at = blobs * GROWTH
        except StoreError as error:
            log.warning("no dictionary was learned, mail takes more room than it could: %s", error)
        except Exception:
            log.exception("no dictionary was learned; it will be tried again when there is more mail")


def read_samples(tx: Transaction) -> Samples:
    """What is kept of the newest messages, of as many accounts as there are, as it is before it is packed."""
    accounts = [row[0] for row in tx.all("SELECT account FROM account_state WHERE messages > 0")]
    accounts = accounts[:: -(-len(accounts) // _SAMPLES) or 1]
    samples: Samples = []
    for account in accounts:
        for blob, size, *columns in tx.all(
            "SELECT blob, size, envelope, bodystructure, structure, preview FROM messages WHERE id >= ? AND id < ?"
            " ORDER BY id DESC LIMIT ?",
            account << ID_BITS,
            account + 1 << ID_BITS,
            -(-_SAMPLES // len(accounts)),
        ):
            content = b"".join(tx.blobs.read(tx, blob, 0, min(size, _SAMPLE_OCTETS)))
            samples.append(encodings.shorten(content) or content)
            samples += [tx.blobs.codec.unpack(tx, column) for column in columns]
    return samples


def train(samples: Samples) -> bytes | None:
    """A dictionary; None when the samples are too few or too small."""
    try:
        return zstandard.train_dictionary(_SIZE, samples, k=_FRAGMENT, d=_GRAIN).as_bytes()
    except zstandard.ZstdError as error:
        log.info("no dictionary can be learned yet: %s", error)
        return None
