"""Blobs in the database itself: the default, so that one file is all there is."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from mailwright.store.blobs.api import CHUNK, Blob, WriteNow
from mailwright.store.blobs.codec import compress, decompress
from mailwright.store.db.api import Transaction
from mailwright.store.db.insert import insert
from mailwright.store.errors import NotFound, StoreFailed
from mailwright.store.sets import ranges

_CHUNK_BITS = 20  # a blob has at most 2**20 chunks: 256 GiB


class DatabaseBlobs:
    """Chunks are rows; the last reference removes them in the same transaction."""

    def prepare(self, pieces: Iterable[bytes], size: int, write_now: WriteNow) -> Blob:
        digest = hashlib.sha256()
        if size <= CHUNK:
            content = b"".join(pieces)
            digest.update(content)
            return Blob(digest.digest(), size, content)
        upload = write_now(_begin_upload, int(time.time()))
        assert isinstance(upload, int)
        for number, chunk in enumerate(rechunk(pieces)):
            digest.update(chunk)
            write_now(_add_chunk, (upload << _CHUNK_BITS) + number, compress(chunk))
        return Blob(digest.digest(), size, None, upload=upload)

    def keep(self, tx: Transaction, blob: Blob, now: int) -> int:
        return self.keep_all(tx, (blob,), now)[0]

    def keep_all(self, tx: Transaction, blobs: Sequence[Blob], now: int) -> list[int]:
        uploads = {blob.hash: self._keep_upload(tx, blob) for blob in blobs if blob.upload is not None}
        small = [blob for blob in blobs if blob.upload is None]
        ids, new = insert_blobs(tx, small, now)
        contents = {blob.hash: blob.data for blob in small}
        chunks = [(ids[digest] << _CHUNK_BITS, compress(contents[digest] or b"")) for digest in new]
        insert(tx, "chunks (id, data)", chunks)
        ids |= uploads
        return [ids[blob.hash] for blob in blobs]

    def _keep_upload(self, tx: Transaction, blob: Blob) -> int:
        upload = blob.upload
        assert upload is not None
        row = tx.one("UPDATE blobs SET refs = refs + 1 WHERE hash = ? RETURNING id", blob.hash)
        if row is not None:
            if row[0] != upload:  # the same content was kept before: ours is not needed
                _remove(tx, upload)
            return int(row[0])
        found = tx.run(
            "UPDATE blobs SET hash = ?, size = ?, refs = 1 WHERE id = ?", blob.hash, blob.size, upload
        )
        if not found:
            raise StoreFailed("an upload was swept away before it was finished; send it again")
        return upload

    def release(self, tx: Transaction, blob_id: int) -> None:
        row = tx.one("UPDATE blobs SET refs = refs - 1 WHERE id = ? RETURNING refs", blob_id)
        if row is not None and row[0] <= 0:
            _remove(tx, blob_id)

    def release_all(self, tx: Transaction, blob_ids: Iterable[int]) -> None:
        for first, last in ranges(blob_ids):
            tx.run("UPDATE blobs SET refs = refs - 1 WHERE id >= ? AND id <= ?", first, last)
            gone = tx.all(
                "DELETE FROM blobs WHERE id >= ? AND id <= ? AND refs <= 0 RETURNING id", first, last
            )
            for low, high in ranges(blob_id for (blob_id,) in gone):
                _remove_chunks(tx, low, high)

    def read(self, tx: Transaction, blob_id: int, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        if stop is None:
            stop = blob_size(tx, blob_id)
        for number in range(start // CHUNK, -(-stop // CHUNK)):
            base = number * CHUNK
            content = _read_chunk(tx, blob_id, number)
            if start > base or stop < base + len(content):
                content = content[max(0, start - base) : stop - base]
            if content:
                yield content

    def read_whole(self, tx: Transaction, blob_id: int) -> bytes:
        row = tx.one("SELECT data FROM chunks WHERE id = ?", blob_id << _CHUNK_BITS)
        if row is None:
            return b"".join(self.read(tx, blob_id))
        first = decompress(row[0])
        return first if len(first) < CHUNK else b"".join(self.read(tx, blob_id))

    def sweep(self, tx: Transaction, before: int) -> int:
        stale = tx.all("SELECT id FROM blobs WHERE refs <= 0 AND created_at < ?", before)
        for (blob_id,) in stale:
            _remove(tx, blob_id)
        return len(stale)


def blob_size(tx: Transaction, blob_id: int) -> int:
    """The size of a blob's content in octets. Raises NotFound."""
    row = tx.one("SELECT size FROM blobs WHERE id = ?", blob_id)
    if row is None:
        raise NotFound(f"no blob {blob_id}")
    return int(row[0])


def rechunk(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same octets, cut into chunks of CHUNK octets (the last may be shorter)."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        while len(waiting) >= CHUNK:
            yield bytes(waiting[:CHUNK])
            del waiting[:CHUNK]
    if waiting:
        yield bytes(waiting)


def insert_blobs(tx: Transaction, blobs: Sequence[Blob], now: int) -> tuple[dict[bytes, int], list[bytes]]:
    """Add a reference for each of the blobs; their ids by hash, and the hashes of those that are new.

    A row without references may have lost its file already, so it takes the new location.
    """
    refs = Counter(blob.hash for blob in blobs)
    rows = {blob.hash: (blob.hash, blob.size, refs[blob.hash], blob.location, now) for blob in blobs}
    found = insert(
        tx,
        "blobs (hash, size, refs, location, created_at)",
        [
            rows[digest] for digest in sorted(rows)
        ],  # in one order, so that two writers never wait for each other
        "ON CONFLICT (hash) DO UPDATE SET refs = blobs.refs + excluded.refs,"
        " location = CASE WHEN blobs.refs <= 0 THEN excluded.location ELSE blobs.location END"
        " RETURNING hash, id, refs",
    )
    ids = {bytes(digest): int(blob_id) for digest, blob_id, _ in found}
    return ids, [bytes(digest) for digest, _, count in found if count == refs[bytes(digest)]]


def _begin_upload(tx: Transaction, now: int) -> int:
    row = tx.one(
        "INSERT INTO blobs (hash, size, refs, created_at) VALUES (?, 0, 0, ?) RETURNING id",
        b"upload:" + secrets.token_bytes(16),
        now,
    )
    assert row is not None
    return int(row[0])


def _add_chunk(tx: Transaction, chunk_id: int, data: bytes) -> None:
    tx.run("INSERT INTO chunks (id, data) VALUES (?, ?)", chunk_id, data)


def _read_chunk(tx: Transaction, blob_id: int, number: int) -> bytes:
    row = tx.one("SELECT data FROM chunks WHERE id = ?", (blob_id << _CHUNK_BITS) + number)
    if row is None:
        raise StoreFailed(f"chunk {number} of blob {blob_id} is missing; run `mailwright doctor`")
    return decompress(row[0])


def _remove(tx: Transaction, blob_id: int) -> None:
    _remove_chunks(tx, blob_id, blob_id)
    tx.run("DELETE FROM blobs WHERE id = ?", blob_id)


def _remove_chunks(tx: Transaction, first: int, last: int) -> None:
    """The chunks of the blobs from `first` to `last`."""
    tx.run("DELETE FROM chunks WHERE id >= ? AND id < ?", first << _CHUNK_BITS, (last + 1) << _CHUNK_BITS)
