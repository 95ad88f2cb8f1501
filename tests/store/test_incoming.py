"""Messages on their way in: small and large, with a head in front, and when the disk is full."""

from __future__ import annotations

import os
import threading
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.accounts import new_account
from support.stores import open_store

from mailwright.store import arrivals, mailboxes, reading
from mailwright.store.blobs.disk import DiskBlobs
from mailwright.store.db.api import Transaction
from mailwright.store.errors import StoreFailed
from mailwright.store.store import Store

HEADER = b"Subject: =?utf-8?b?5L2g5aW9?=\r\nMessage-ID: <1@example.org>\r\n\r\n"
LARGE = HEADER + b"".join(b"line %d of a long message\r\n" % n for n in range(30_000))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path) as store:
        yield store


async def keep(store: Store, message: arrivals.PreparedMessage) -> bytes:
    account = await store.write(new_account, f"{os.urandom(4).hex()}@example.org")
    box = await store.read(mailboxes.find_mailbox, account, "INBOX")
    added = await store.write(arrivals.add, account, box.id, message, now=1)

    def content(tx: Transaction) -> bytes:
        row = reading.read_message(tx, added.message, "blob")
        assert row is not None
        return b"".join(tx.blobs.read(tx, row[0]))

    return await store.read(content)


@pytest.mark.parametrize("content", [b"", b"x", HEADER + b"hi\r\n", HEADER + bytes(100_000), LARGE])
@pytest.mark.parametrize("piece", [1000, 70_000])
async def test_what_is_written_is_what_is_kept(store: Store, content: bytes, piece: int) -> None:
    incoming = store.incoming()
    for start in range(0, len(content), piece):
        await incoming.write(content[start : start + piece])
    assert incoming.size == len(content)
    assert incoming.in_memory == (len(content) < 256 * 1024)
    assert b"".join(incoming.pieces()) == content
    assert b"".join(incoming.pieces(len(HEADER))) == content[len(HEADER) :]
    assert incoming.head(10) == content[:10]
    prepared = await incoming.finish()
    assert prepared.size == len(content)
    assert await keep(store, prepared) == content
    incoming.close()


async def test_what_comes_in_many_small_pieces_takes_no_more_memory(store: Store) -> None:
    incoming = store.incoming()
    tracemalloc.start()
    for number in range(100_000):
        await incoming.write(b"%d\n" % (number % 10))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1024 * 1024
    assert incoming.head(4) == b"0\n1\n"
    incoming.close()


@pytest.mark.parametrize("content", [HEADER + b"hi\r\n", HEADER + os.urandom(200_000), LARGE])
async def test_what_is_kept_apart_does_not_stay_in_memory(store: Store, content: bytes) -> None:
    incoming = store.incoming()
    await incoming.write(content)
    prepared = await incoming.finish(apart=True)
    incoming.close()
    assert prepared.blob.data is None
    assert await keep(store, prepared) == content

    def whole(tx: Transaction) -> list[bytes]:
        row = tx.one("SELECT id FROM blobs WHERE hash = ?", prepared.blob.hash)
        assert row is not None
        return [tx.blobs.read_whole(tx, row[0]), b"".join(tx.blobs.read_each(tx, [row[0]])[0])]

    if len(content) < len(LARGE):
        assert await store.read(whole) == [content, content]


@pytest.mark.parametrize("content", [HEADER + b"hi\r\n", LARGE])
async def test_a_head_takes_the_place_of_the_first_octets(store: Store, content: bytes) -> None:
    incoming = store.incoming()
    await incoming.write(content)
    for head in (b"Received: from here\r\n", b"Received: from there\r\n"):
        whole = head + content[len(HEADER) :]
        assert await keep(store, await incoming.finish(head, len(HEADER))) == whole
    incoming.close()


async def test_a_large_message_leaves_no_upload_behind(store: Store) -> None:
    def rows(tx: Transaction) -> list[tuple[int, int]]:
        return [(refs, size) for refs, size in tx.all("SELECT refs, size FROM blobs")]

    for _ in range(2):
        incoming = store.incoming()
        await incoming.write(LARGE)
        await keep(store, await incoming.finish())
        incoming.close()
    assert await store.read(rows) == [(2, len(LARGE))]
    abandoned = store.incoming()
    await abandoned.write(LARGE + b"!")
    await abandoned.finish()
    abandoned.close()
    assert len(await store.read(rows)) == 2
    await store.write(store.blobs.sweep, 2**40)
    assert await store.read(rows) == [(2, len(LARGE))]


async def test_a_folder_that_is_gone_is_a_temporary_failure(store: Store, tmp_path: Path) -> None:
    incoming = store.incoming()
    incoming._folder = tmp_path / "gone"
    with pytest.raises(StoreFailed, match="temporary file"):
        await incoming.write(LARGE)
    incoming.close()


async def test_the_event_loop_does_not_wait_for_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs, threads = DiskBlobs(tmp_path / "blobs"), set()
    fsync = os.fsync

    def note(file: int) -> None:
        threads.add(threading.get_ident())
        fsync(file)

    async with open_store(tmp_path, blobs) as store:
        monkeypatch.setattr(os, "fsync", note)
        incoming = store.incoming()
        await incoming.write(HEADER + b"hi\r\n")
        prepared = await incoming.finish()
        packed = await incoming.pack()
        incoming.close()
        assert threads
        assert threading.get_ident() not in threads
        assert packed.hash == prepared.blob.hash
        assert await keep(store, prepared) == HEADER + b"hi\r\n"
