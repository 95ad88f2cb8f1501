"""Keeps the search index up with the mail: in batches, beside everything else, newest last."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from mailwright.message.search import Attached
from mailwright.store import search
from mailwright.store.db.api import Transaction
from mailwright.store.errors import TemporaryFailure
from mailwright.store.store import Store

log = logging.getLogger(__name__)

_BATCH = 64  # messages read, made ready and written at a time
_BATCH_OCTETS = 1024 * 1024  # a batch ends once it is this large
_RETRY = 10.0  # seconds after which a store that could not be read is tried again
_PAUSE = 0.5  # seconds in which new mail gathers to a batch; what is not indexed is found all the same


class Indexer:
    """One task indexes for all accounts that have an index; `wake(account)` tells it that one has been given one."""

    def __init__(self, store: Store, read_pdf: Callable[[bytes], Awaitable[str]] | None = None) -> None:
        """`read_pdf` gives the text of a PDF file; without it these are left out."""
        self._store = store
        self._read_pdf = read_pdf
        self._followed: set[int] = set()
        self._waiting: dict[int, None] = {}
        self._wanted = asyncio.Event()

    def wake(self, account: int) -> None:
        """There may be something to index for this account, now and after each change."""
        if account not in self._followed:
            self._followed.add(account)
            self._store.notify.subscribe(account, self._heard)
        self._waiting[account] = None
        self._wanted.set()

    def _heard(self, account: int, modseq: int) -> None:
        self.wake(account)

    async def run(self) -> None:
        """Index for ever."""
        await self._start()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._waiting:
                account = next(iter(self._waiting))
                del self._waiting[account]
                try:
                    await self.index(account)
                except TemporaryFailure as error:
                    log.warning("indexing stopped, the next new message starts it again: %s", error)
                except Exception:
                    log.exception("indexing for account %d stopped, a new message starts it again", account)
            await asyncio.sleep(_PAUSE)

    async def _start(self) -> None:
        """Take up the accounts that have an index."""
        while True:
            try:
                for account in await self._store.read(search.read_accounts):
                    self.wake(account)
            except TemporaryFailure as error:
                log.warning("indexing does not start yet: %s", error)
                await asyncio.sleep(_RETRY)
            else:
                return

    async def index(self, account: int) -> int:
        """Index all that waits for one account; how many messages that were."""
        count = 0
        preparing = self._prepare(account)
        try:
            while (batch := await preparing) is not None:
                # While this one is written.
                preparing = self._prepare(account, batch.messages[-1].indexed.message)
                ready = [
                    await self._with_documents(one) if one.pdfs else one.indexed for one in batch.messages
                ]
                if await self._store.write(search.add, account, batch.after, ready):
                    count += len(ready)
                else:
                    preparing.cancel()
                    preparing = self._prepare(account)
        finally:
            preparing.cancel()
        return count

    def _prepare(self, account: int, after: int | None = None) -> asyncio.Future[_Batch | None]:
        return asyncio.ensure_future(self._store.read_apart(_prepare_batch, account, after))

    async def _with_documents(self, one: _Prepared) -> search.Indexed:
        if self._read_pdf is None:
            return one.indexed
        texts: list[str] = []
        for attached in one.pdfs:
            data = await self._store.read(search.read_attached, one.blob, attached)
            texts.append(await self._read_pdf(data))
        return await self._store.off_loop(search.with_documents, one.indexed, "\n".join(texts))


class _Prepared(NamedTuple):
    indexed: search.Indexed
    blob: int
    pdfs: Sequence[Attached]


class _Batch(NamedTuple):
    after: int  # the message before
    messages: list[_Prepared]


def _prepare_batch(tx: Transaction, account: int, after: int | None) -> _Batch | None:
    """The next batch made ready, smaller when its messages are large: others wait for the process that reads it."""
    after = search.read_indexed(tx, account) if after is None else after
    if after is None:
        return None
    messages: list[_Prepared] = []
    octets = 0
    for message, blob, size in search.read_waiting(tx, account, _BATCH, after):
        text = search.fold_blob(tx, blob, size)
        messages.append(_Prepared(search.prepare(message, text), blob, text.pdfs))
        octets += size
        if octets >= _BATCH_OCTETS:
            break
    return _Batch(after, messages) if messages else None
