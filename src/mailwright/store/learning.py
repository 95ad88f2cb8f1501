"""Learns from the store's own mail what that is full of: a dictionary that makes what is packed later smaller.

It holds short fragments of mail, those that come most often. They stay in the database when their messages are gone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

import zstandard

from mailwright.message.parser import parse_message
from mailwright.message.summary import summarize
from mailwright.store.blobs import dictionaries, encodings
from mailwright.store.blobs.api import BlobStore
from mailwright.store.blobs.codec import FIRST, SAMPLE_OCTETS
from mailwright.store.db.api import Database, Transaction
from mailwright.store.errors import StoreError, StoreFailed
from mailwright.store.model import ID_BITS

Samples = list[bytes | bytearray | memoryview]  # what zstandard asks for

log = logging.getLogger(__name__)

GROWTH: Final = 8  # another is learned when there are so many times as many blobs
_SAMPLES: Final = 512  # messages that it is learned from
_SIZE: Final = 160 * 1024  # octets of a dictionary
_FRAGMENT: Final = 128  # octets
_GRAIN: Final = 8  # octets that make two fragments alike


class Learner:
    """Has the blob store's codec pack with the newest dictionary, and learns another when it is time."""

    def __init__(self, db: Database, blobs: BlobStore) -> None:
        self._db = db
        self._blobs = blobs
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
        due = self._blobs.newest >= self._at or len(self._blobs.codec.samples) >= FIRST
        if due and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._learn())

    async def _adopt_newest(self) -> None:
        newest = await self._db.read(dictionaries.read_newest)
        if newest is not None:
            number, blobs = newest
            self._blobs.codec.adopt(number, await self._db.read(dictionaries.read, number))
            self._at = max(FIRST, blobs * GROWTH)

    async def _learn(self) -> None:
        codec = self._blobs.codec
        contents, codec.samples = codec.samples, []
        blobs = max(self._blobs.newest, FIRST)
        self._at = blobs * 2  # when this fails
        try:
            await self._adopt_newest()  # another process may have learned it
            if self._at > blobs * 2:
                return
            # Elsewhere, since it would keep the interpreter for many milliseconds at a time.
            data = await self._db.read_unhurried(learn, contents if len(contents) >= FIRST else [])
            if data is not None:
                number = await self._db.write(dictionaries.keep, data, blobs, int(time.time()))
                codec.adopt(number, data)  # durable now
                self._at = blobs * GROWTH
        except StoreError as error:
            log.warning("no dictionary was learned, mail takes more room than it could: %s", error)
        except Exception:
            log.exception("no dictionary was learned; it will be tried again when there is more mail")


def learn(tx: Transaction, contents: Sequence[bytes]) -> bytes | None:
    """A dictionary for mail like this, or, without any, like the newest; None when it is too little."""
    return train(contents or read_samples(tx))


def read_samples(tx: Transaction) -> list[bytes]:
    """The newest messages, of as many accounts as there are: how they begin."""
    accounts = [row[0] for row in tx.all("SELECT account FROM account_state WHERE messages > 0")]
    accounts = accounts[:: -(-len(accounts) // _SAMPLES) or 1]
    contents: list[bytes] = []
    for account in accounts:
        for blob, size in tx.all(
            "SELECT blob, size FROM messages WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT ?",
            account << ID_BITS,
            account + 1 << ID_BITS,
            -(-_SAMPLES // len(accounts)),
        ):
            contents.append(b"".join(tx.blobs.read(tx, blob, 0, min(size, SAMPLE_OCTETS))))
    return contents


def train(contents: Sequence[bytes]) -> bytes | None:
    """A dictionary for mail like this and for what is kept of it; None when it is too little."""
    samples: Samples = []
    for content in contents:
        summary = summarize(parse_message(content))
        samples += [encodings.shorten(content) or content, summary.envelope]
        samples += [summary.structure, summary.preview.encode("utf-8", "replace")]
    try:
        return zstandard.train_dictionary(_SIZE, samples, k=_FRAGMENT, d=_GRAIN).as_bytes()
    except zstandard.ZstdError as error:
        log.info("no dictionary can be learned yet: %s", error)
        return None
