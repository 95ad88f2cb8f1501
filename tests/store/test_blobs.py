"""Reading many blobs at once gives what reading each gives, over every database and place for blobs."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from pathlib import Path

import pytest
from support.meetings import Held, meet, processes

from mailwright.store.blobs.api import CHUNK, Blob, BlobStore
from mailwright.store.blobs.database import DatabaseBlobs
from mailwright.store.blobs.disk import DiskBlobs
from mailwright.store.db.api import Database, Transaction
from mailwright.store.db.sqlite import SQLiteDatabase
from mailwright.store.errors import StoreError, StoreFailed
from mailwright.store.notify.local import LocalNotifier
from mailwright.store.store import Store

NOW = 1_700_000_000
HEADER = b"Subject: Hello\r\nContent-Transfer-Encoding: base64\r\n\r\n"


def encoded(size: int) -> bytes:
    return HEADER + base64.encodebytes(os.urandom(size)).replace(b"\n", b"\r\n")


CONTENTS = (
    b"short",
    os.urandom(5000),
    b"",
    encoded(900),
    os.urandom(1005 * 3 - 1),  # it fills its pieces
    encoded(9000),
    b"long " * 40_000,
    os.urandom(CHUNK + 1),  # of more than one chunk
    os.urandom(CHUNK),
    encoded(90_000),
)


async def keep(db: Database, contents: tuple[bytes, ...]) -> list[int]:
    """The ids of the blobs, which follow each other."""
    made: list[Blob] = []
    for content in contents:
        pieces = [content[n : n + 50_000] for n in range(0, len(content), 50_000)]
        made.append(await _prepare(db, pieces, len(content)))
    return await db.write(lambda tx: [tx.blobs.keep(tx, blob, NOW) for blob in made])


async def _prepare(db: Database, pieces: list[bytes], size: int) -> Blob:
    return await asyncio.to_thread(db.blobs.prepare, pieces, size, db.write_now)


async def test_many_are_read_as_each_is(db: Database) -> None:
    ids = await keep(db, CONTENTS)
    wanted = [(n, content) for n, content in zip(ids, CONTENTS, strict=True) if len(content) <= CHUNK]

    def read(tx: Transaction, blob_ids: list[int]) -> list[bytes]:
        return [b"".join(pieces) for pieces in tx.blobs.read_each(tx, blob_ids)]

    assert await db.read(read, [n for n, _ in wanted]) == [content for _, content in wanted]
    assert await db.read(read, [n for n, _ in wanted[::-2]]) == [content for _, content in wanted[::-2]]
    assert await db.read(read, [wanted[1][0]] * 2) == [wanted[1][1]] * 2


async def test_beginnings_are_read(db: Database) -> None:
    """Of any length, however much was read before: what was read lately may come from memory."""
    ids = await keep(db, CONTENTS)
    wanted = [(n, content) for n, content in zip(ids, CONTENTS, strict=True) if len(content) <= CHUNK]

    def read(tx: Transaction, stop: int) -> list[bytes]:
        stops = [min(stop, len(content)) for _, content in wanted]
        return [b"".join(pieces) for pieces in tx.blobs.read_each(tx, [n for n, _ in wanted], stops)]

    for stop in (len(HEADER), 1, 1000, 200_000, 1000, 8 * 1024, len(HEADER)):
        for found, (_, content) in zip(await db.read(read, stop), wanted, strict=True):
            assert content.startswith(found)
            assert len(found) >= min(stop, len(content))


@pytest.mark.parametrize("db", ["sqlite", "postgres"], indirect=True)
@pytest.mark.parametrize("stops", [None, [5000, 5000]])
async def test_a_piece_that_is_missing_is_told(db: Database, stops: list[int] | None) -> None:
    ids = await keep(db, (os.urandom(5000), os.urandom(5000)))
    await db.write(lambda tx: tx.run("DELETE FROM chunks WHERE id = ?", (ids[0] << 20) + 1))
    with pytest.raises(StoreFailed, match="run `mailwright doctor`"):
        await db.read(lambda tx: tx.blobs.read_each(tx, ids, stops))


async def test_files_that_root_makes_belong_to_whom_the_folder_belongs_to(tmp_path: Path) -> None:
    owner = (4321, 1234) if os.geteuid() == 0 else (os.geteuid(), os.getegid())  # nobody else can make such
    os.chown(tmp_path, *owner)
    blobs = DiskBlobs(tmp_path / "blobs")
    blob = blobs.prepare((b"x",), 1, pytest.fail)
    assert blob.location is not None
    file = tmp_path / "blobs" / blob.location
    for path in (tmp_path / "blobs", file.parent, file):
        assert (path.stat().st_uid, path.stat().st_gid) == owner


async def test_a_store_does_not_start_over_blobs_that_lie_elsewhere(tmp_path: Path) -> None:
    async def start(name: str, blobs: BlobStore) -> None:
        db = SQLiteDatabase(tmp_path / name, blobs)
        store = Store(db, blobs, LocalNotifier(), tmp_path)
        try:
            await store.start()
            if not await db.read(lambda tx: tx.all("SELECT 1 FROM blobs")):
                await keep(db, (b"some content",))
        finally:
            await store.close()

    files = DiskBlobs(tmp_path / "files")
    for _ in range(2):
        await start("database", DatabaseBlobs())
        await start("folder", files)
    with pytest.raises(StoreError, match="take `blobs` out"):
        await start("database", files)
    with pytest.raises(StoreError, match="kept in files"):
        await start("folder", DatabaseBlobs())
    with pytest.raises(StoreError, match="there is no mail in"):
        await start("folder", DiskBlobs(tmp_path / "not mounted"))


async def test_an_upload_that_is_kept_at_last_is_not_swept_by_another_process(postgres_database: str) -> None:
    async with processes(postgres_database) as (one, other):
        content = os.urandom(CHUNK + 1)
        blob = await asyncio.to_thread(one.blobs.prepare, (content,), len(content), one.write_now)
        held = Held(one.blobs.keep)
        kept, _ = await meet(
            held, one.write(held, blob, NOW), other.write(other.blobs.sweep, int(time.time()) + 1)
        )
        assert await one.read(lambda tx: b"".join(one.blobs.read(tx, kept))) == content
