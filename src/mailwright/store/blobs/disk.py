"""Blobs as files: one each, in a folder per first octet of the hash.

A file gets a name of its own for each upload and is complete and synced before the row that names it; it is unlinked
after the row is gone. So a crash can leave a file without a row (`doctor` finds it), never a row without a file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mailwright.store.blobs.api import CHUNK, Blob, Pieces, WriteNow
from mailwright.store.blobs.codec import Codec
from mailwright.store.blobs.database import add_references, insert_blobs, rechunk
from mailwright.store.db.api import Transaction
from mailwright.store.errors import NotFound, StoreError, StoreFailed, StoreFull
from mailwright.store.sets import ranges

_LENGTH = struct.Struct(">I")


class DiskBlobs:
    """A file is a row of stored chunks, each behind its length in four octets."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.codec = Codec()
        self.newest = 0
        self.waits = True

    def __reduce__(self) -> tuple[type[DiskBlobs], tuple[Path]]:
        """For a process that reads: the place, not what we know of it."""
        return DiskBlobs, (self._root,)

    def check_place(self, tx: Transaction) -> None:
        newest = tx.one("SELECT location FROM blobs ORDER BY id DESC LIMIT 1")
        if newest is None:
            return
        if newest[0] is None:
            raise StoreError(
                "the mail of this store is kept in the database: take `blobs` out of [store] again;"
                " `mailwright export` and `import` bring mail into a new store"
            )
        if not (self._root / newest[0]).exists() and not any(self._root.glob("??")):
            raise StoreError(
                f"there is no mail in {self._root}: mount it, or set `blobs` under [store] to the folder of this store"
            )

    def prepare(
        self, pieces: Iterable[bytes], size: int, write_now: WriteNow, *, apart: bool = False
    ) -> Blob:
        name = secrets.token_hex(16)
        location = f"{name[:2]}/{name}"
        path = self._root / location
        digest = hashlib.sha256()
        try:
            for folder in (self._root, path.parent):
                if not folder.exists():
                    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # mail is nobody else's to read
                    _give_to_owner_above(folder)
            with path.open("xb") as file:
                _give_to_owner_above(path)
                for chunk in rechunk(pieces):
                    if size <= CHUNK:
                        self.codec.look_at(chunk)
                    digest.update(chunk)
                    stored = self.codec.pack_chunk(chunk)
                    file.write(_LENGTH.pack(len(stored)) + stored)
                file.flush()
                os.fsync(file.fileno())
            _sync_folder(path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):  # where nothing can be done, this cannot either
                path.unlink()
            kind = StoreFull if error.errno in (28, 122) else StoreFailed  # ENOSPC, EDQUOT
            raise kind(
                f"cannot keep a blob in {self._root}: {error.strerror}; run `mailwright doctor`"
            ) from error
        return Blob(digest.digest(), size, None, location=location)

    def keep(self, tx: Transaction, blob: Blob, now: int) -> int:
        return self.keep_all(tx, (blob,), now)[0]

    def keep_all(self, tx: Transaction, blobs: Sequence[Blob], now: int, *, alone: bool = False) -> list[int]:
        # A duplicate's own file is named by no row: `unlink_orphans` removes it.
        ids = {} if alone else add_references(tx, blobs)
        new = insert_blobs(tx, [blob for blob in blobs if blob.hash not in ids], now, alone=alone)
        self.newest = max(new.values(), default=self.newest)
        ids |= new
        return [ids[blob.hash] for blob in blobs]

    def settle(self, tx: Transaction, blob_ids: Iterable[int]) -> None:
        pass  # all is compressed when its file is written

    def release(self, tx: Transaction, blob_id: int) -> None:
        tx.run("UPDATE blobs SET refs = refs - 1 WHERE id = ?", blob_id)

    def release_all(self, tx: Transaction, blob_ids: Iterable[int]) -> None:
        for first, last in ranges(blob_ids):
            tx.run("UPDATE blobs SET refs = refs - 1 WHERE id >= ? AND id <= ?", first, last)

    def read(self, tx: Transaction, blob_id: int, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        if stop is None:
            row = tx.one("SELECT size FROM blobs WHERE id = ?", blob_id)
            if row is None:
                raise NotFound(f"no blob {blob_id}")
            stop = int(row[0])
        base = start // CHUNK * CHUNK
        for content in self._chunks(tx, self._path(tx, blob_id), start // CHUNK):
            piece = content[max(0, start - base) : stop - base]
            if piece:
                yield piece
            base += len(content)
            if base >= stop:
                return
        if base < stop:
            raise StoreFailed(f"the file of blob {blob_id} is cut short; run `mailwright doctor`")

    def read_whole(self, tx: Transaction, blob_id: int) -> bytes:
        return b"".join(self.read(tx, blob_id))

    def read_each(
        self, tx: Transaction, blob_ids: Sequence[int], stops: Sequence[int] | None = None
    ) -> list[Pieces]:
        return [(self.read_whole(tx, blob_id),) for blob_id in blob_ids]

    def sweep(self, tx: Transaction, before: int) -> int:
        return tx.run("DELETE FROM blobs WHERE refs <= 0")

    def unlink_orphans(self, tx: Transaction, before: int) -> int:
        """Unlink the files that no row names and that are older than `before`; how many."""
        named = {location for (location,) in tx.all("SELECT location FROM blobs WHERE location IS NOT NULL")}
        count = 0
        for path in self._root.glob("??/*"):
            if f"{path.parent.name}/{path.name}" not in named and path.stat().st_mtime < before:
                path.unlink(missing_ok=True)
                count += 1
        return count

    def _path(self, tx: Transaction, blob_id: int) -> Path:
        row = tx.one("SELECT location FROM blobs WHERE id = ?", blob_id)
        if row is None or row[0] is None:
            raise StoreFailed(f"blob {blob_id} has no file; run `mailwright doctor`")
        return self._root / str(row[0])

    def _chunks(self, tx: Transaction, path: Path, skip: int) -> Iterator[bytes]:
        try:
            with path.open("rb") as file:
                while head := file.read(_LENGTH.size):
                    (length,) = _LENGTH.unpack(head)
                    if skip:
                        skip -= 1
                        file.seek(length, os.SEEK_CUR)
                        continue
                    yield self.codec.unpack(tx, file.read(length))
        except (OSError, struct.error) as error:
            raise StoreFailed(f"cannot read {path}: {error}") from error


def _give_to_owner_above(path: Path) -> None:
    """What root makes by a command belongs to whom the folder belongs to: the server is another user."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
