"""Damage below the store is found and named."""

from __future__ import annotations

import asyncio
from pathlib import Path

from support.accounts import prepared

from mailwright.store import arrivals, mailboxes, search
from mailwright.store.db.api import Database
from mailwright.store.indexer import Indexer
from mailwright.store.notify.local import LocalNotifier
from mailwright.store.store import Store
from mailwright.store.verify import check_blobs, check_indexes


async def test_blobs_are_read_back(db: Database, account: int) -> None:
    box = await db.read(mailboxes.find_mailbox, account, "INBOX")
    for content in (b"small", b"large" * 200_000):
        message = await asyncio.to_thread(prepared, db, content)
        await db.write(arrivals.add, account, box.id, message, now=1)
    assert await db.read(check_blobs, 10) == []
    await db.write(lambda tx: tx.run("UPDATE blobs SET hash = ? WHERE size = 5", b"other"))
    await db.write(lambda tx: tx.run("UPDATE blobs SET size = size - 1 WHERE size > 5"))
    faults = await db.read(check_blobs, 10)
    assert len(faults) == 2
    assert all("is not what was kept" in fault for fault in faults)
    assert len(await db.read(check_blobs, 1)) == 1


async def test_a_small_blob_of_another_size_is_told(db: Database, account: int) -> None:
    box = await db.read(mailboxes.find_mailbox, account, "INBOX")
    await db.write(arrivals.add, account, box.id, prepared(db, b"small"), now=1)
    await db.write(lambda tx: tx.run("UPDATE blobs SET size = 4"))
    (fault,) = await db.read(check_blobs, 10)
    assert "has 5 octets, not 4; run `mailwright doctor`" in fault or "is not what was kept" in fault


async def test_a_wrong_index_is_named(db: Database, account: int) -> None:
    box = await db.read(mailboxes.find_mailbox, account, "INBOX")
    await db.write(search.begin, account)
    await db.write(arrivals.add, account, box.id, prepared(db, b"Subject: x\r\n\r\nbody\r\n"), now=1)
    await Indexer(Store(db, db.blobs, LocalNotifier(), Path())).index(account)
    assert await db.read(check_indexes, 10) == []
    await db.write(lambda tx: tx.run("DELETE FROM search_texts"))
    ((address, fault),) = await db.read(check_indexes, 10)
    assert address.endswith("@example.org")
    assert "message" in fault
