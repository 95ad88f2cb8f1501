"""Reading many blobs at once gives what reading each gives, over every database and place for blobs."""

from __future__ import annotations

import asyncio
import base64
import os

import pytest

from mailwright.store.blobs.api import CHUNK, Blob
from mailwright.store.db.api import Database, Transaction
from mailwright.store.errors import StoreFailed

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
