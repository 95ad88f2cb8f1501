"""Blobs in the database itself: the default, so that one file is all there is."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from mailwright.store.blobs.api import ALONE, CHUNK, Blob, Pieces, WriteNow
from mailwright.store.blobs.codec import Codec
from mailwright.store.blobs.lately import Lately
from mailwright.store.db.api import Row, Transaction
from mailwright.store.db.insert import insert, insert_numbered
from mailwright.store.errors import NotFound, StoreError, StoreFailed
from mailwright.store.sets import ranges

_CHUNK_BITS = 20  # a blob has at most 2**20 chunks: 256 GiB
_IN_ROW = 2000  # octets of packed content that stand in the blob's own row
_AT_ONCE = 64  # hashes that are looked up in one statement
_BRIEF_IN_ROW = 7900  # the same of what stays for a moment: it may have a page of SQLite's for itself
_BEGINNINGS = 4 * 1024 * 1024  # octets of contents that stay in memory
_PIECE = 1005  # octets of a piece of what is larger: eight rows of these fill a page of SQLite's

# Blobs of one chunk with what they are packed into; the database puts pieces together, in the order of the subquery.
_SELECT = (
    "SELECT b.id, b.size, CASE WHEN b.data IS NULL AND b.size <= {chunk} THEN (SELECT {joined} FROM"
    " (SELECT c.data FROM chunks c WHERE c.id >= (b.id << {bits}) AND c.id < ((b.id + 1) << {bits})"
    " ORDER BY c.id) AS p) ELSE b.data END AS data FROM blobs b WHERE b.id >= ? AND b.id <= ? ORDER BY b.id"
)
# Of many blobs and their pieces, each as one row: to step from row to row would halt other threads each time.
_SELECT_ROWS = (
    "SELECT string_agg(CAST(p.id AS TEXT), ','), string_agg(CAST(p.size AS TEXT), ','),"
    " string_agg(CAST(coalesce(length(p.data), 0) AS TEXT), ','), {joined}"
    " FROM (SELECT id, size, data FROM blobs WHERE id >= ? AND id <= ? ORDER BY id) AS p"
)
_SELECT_PIECES = (
    "SELECT string_agg(CAST(p.id AS TEXT), ','), string_agg(CAST(length(p.data) AS TEXT), ','), {joined}"
    " FROM (SELECT id, data FROM chunks WHERE id >= ? AND id < ? ORDER BY id) AS p"
)
_JOINED = {"sqlite": "CAST(string_agg(p.data, '') AS BLOB)", "postgres": "string_agg(p.data, '')"}
_PACKED = {
    name: _SELECT.format(chunk=CHUNK, bits=_CHUNK_BITS, joined=joined) for name, joined in _JOINED.items()
}
_ROWS = {name: _SELECT_ROWS.format(joined=joined) for name, joined in _JOINED.items()}
_PIECES = {name: _SELECT_PIECES.format(joined=joined) for name, joined in _JOINED.items()}


class DatabaseBlobs:
    """Content of one chunk is packed and stands in the blob's row, or in pieces; of larger content each chunk is a row.

    The last reference removes it in the same transaction.
    """

    def __init__(self) -> None:
        self.codec = Codec()
        self.newest = 0
        self.waits = False
        self._beginnings: Lately[int] = Lately(_BEGINNINGS)  # headers, by the ids of their blobs

    def __reduce__(self) -> tuple[type[DatabaseBlobs], tuple[()]]:
        """For a process that reads: the place, not what we know of it."""
        return DatabaseBlobs, ()

    def check_place(self, tx: Transaction) -> None:
        newest = tx.one("SELECT location FROM blobs ORDER BY id DESC LIMIT 1")
        if newest is not None and newest[0] is not None:
            raise StoreError(
                "the mail of this store is kept in files: set `blobs` under [store] to their folder again"
            )

    def prepare(
        self, pieces: Iterable[bytes], size: int, write_now: WriteNow, *, apart: bool = False
    ) -> Blob:
        if size <= CHUNK and not apart:
            content = b"".join(pieces)
            self.codec.look_at(content)
            return Blob(hashlib.sha256(content).digest(), size, content)
        digest = hashlib.sha256()
        upload = write_now(_begin_upload, int(time.time()))
        assert isinstance(upload, int)
        for number, chunk in enumerate(rechunk(pieces)):
            digest.update(chunk)
            write_now(_add_chunk, (upload << _CHUNK_BITS) + number, self.codec.pack_chunk(chunk))
        return Blob(digest.digest(), size, None, upload=upload)

    def keep(self, tx: Transaction, blob: Blob, now: int) -> int:
        return self.keep_all(tx, (blob,), now)[0]

    def keep_all(self, tx: Transaction, blobs: Sequence[Blob], now: int, *, alone: bool = False) -> list[int]:
        ids = self._keep_uploads(tx, [blob for blob in blobs if blob.upload is not None], alone)
        small = [blob for blob in blobs if blob.upload is None]
        if not alone:
            ids |= add_references(tx, small)
        missing = [blob for blob in small if blob.hash not in ids]
        contents = {blob.hash: blob.data or b"" for blob in missing if not blob.brief}
        new = dict(zip(contents, self.codec.pack_chunks(list(contents.values())), strict=True))
        brief = {blob.hash: self.codec.leave(blob.data or b"") for blob in missing if blob.brief}
        in_row = {digest: packed for digest, packed in new.items() if len(packed) <= _IN_ROW}
        in_row |= {digest: packed for digest, packed in brief.items() if len(packed) <= _BRIEF_IN_ROW}
        new |= brief
        ids |= insert_blobs(
            tx,
            [blob for blob in small if blob.hash in new],
            now,
            in_row,
            alone=alone,
        )
        large = ((ids[digest], packed) for digest, packed in new.items() if digest not in in_row)
        insert(tx, "chunks (id, data)", [row for item in large for row in _pieces(*item)])
        if new:
            self.newest = max(ids.values())
        return [ids[blob.hash] for blob in blobs]

    def settle(self, tx: Transaction, blob_ids: Iterable[int]) -> None:
        for blob_id in blob_ids:
            tx.all(f"SELECT 1 FROM blobs WHERE id = ?{tx.dialect.for_update}", blob_id)  # noqa: S608
            size, stored = _row(tx, blob_id)
            if size > CHUNK or not self.codec.is_left(stored):
                continue
            packed = self.codec.pack_chunk(self.codec.unpack(tx, stored))
            _remove_chunks(tx, blob_id, blob_id)
            in_row = packed if len(packed) <= _IN_ROW else None
            tx.run("UPDATE blobs SET data = ? WHERE id = ?", in_row, blob_id)
            if in_row is None:
                insert(tx, "chunks (id, data)", _pieces(blob_id, packed))

    def _keep_uploads(self, tx: Transaction, blobs: Sequence[Blob], alone: bool) -> dict[bytes, int]:
        """Add references to blobs that are uploaded; their ids, by hash."""
        ids = {} if alone else add_references(tx, blobs)
        wanted = Counter(blob.hash for blob in blobs)
        for blob in blobs:
            digest, upload = blob.hash, blob.upload
            assert upload is not None
            if digest not in ids:
                ids[digest] = upload
                if not tx.run(
                    "UPDATE blobs SET hash = ?, size = ?, refs = ? WHERE id = ? AND refs = 0",
                    digest[:ALONE] if alone else digest,
                    blob.size,
                    wanted[digest],
                    upload,
                ):
                    raise StoreFailed("an upload was swept away before it was finished; send it again")
            elif ids[digest] != upload:  # the same content was kept before: ours is not needed
                _remove(tx, upload)
        return ids

    def release(self, tx: Transaction, blob_id: int) -> None:
        self.release_all(tx, (blob_id,))

    def release_all(self, tx: Transaction, blob_ids: Iterable[int]) -> None:
        for first, last in ranges(blob_ids):
            # What has one reference goes at once: to count it down would write its content again.
            gone = tx.all(
                "DELETE FROM blobs WHERE id >= ? AND id <= ? AND refs <= 1 RETURNING id, data IS NULL",
                first,
                last,
            )
            for low, high in ranges(blob_id for blob_id, chunked in gone if chunked):
                _remove_chunks(tx, low, high)
            if len(gone) <= last - first:
                tx.run("UPDATE blobs SET refs = refs - 1 WHERE id >= ? AND id <= ?", first, last)

    def read(self, tx: Transaction, blob_id: int, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        size, data = _row(tx, blob_id)
        stop = size if stop is None else stop
        if size <= CHUNK:
            content = self._unpack(tx, blob_id, size, data)[start:stop]
            if content:
                yield content
            return
        for number in range(start // CHUNK, -(-stop // CHUNK)):
            base = number * CHUNK
            content = self._read_chunk(tx, blob_id, number)
            if start > base or stop < base + len(content):
                content = content[max(0, start - base) : stop - base]
            if content:
                yield content

    def read_whole(self, tx: Transaction, blob_id: int) -> bytes:
        size, data = _row(tx, blob_id)
        return self._unpack(tx, blob_id, size, data) if size <= CHUNK else b"".join(self.read(tx, blob_id))

    def read_each(
        self, tx: Transaction, blob_ids: Sequence[int], stops: Sequence[int] | None = None
    ) -> list[Pieces]:
        if stops is None:
            return self._read_each(tx, blob_ids, None)
        found = self._beginnings.find_all(blob_ids)
        known = [
            None if octets is None or len(octets) < stop else octets
            for octets, stop in zip(found, stops, strict=True)
        ]
        contents: list[Pieces] = [(beginning or b"",) for beginning in known]
        missing = [n for n, beginning in enumerate(known) if beginning is None]
        if missing:
            wanted, ends = [blob_ids[n] for n in missing], [stops[n] for n in missing]
            read = [
                b"".join(pieces)[:stop]
                for pieces, stop in zip(self._read_each(tx, wanted, ends), ends, strict=True)
            ]
            for n, beginning in zip(missing, read, strict=True):
                contents[n] = (beginning,)
            self._beginnings.add_all(zip(wanted, read, strict=True))
        return contents

    def _read_each(
        self, tx: Transaction, blob_ids: Sequence[int], stops: Sequence[int] | None
    ) -> list[Pieces]:
        rows: dict[int, Row] = {}
        for first, last in ranges(set(blob_ids)):
            for row in _read_together(tx, first, last):
                rows[row[0]] = row
        found = [_found(rows.get(blob_id), blob_id) for blob_id in blob_ids]
        contents = self.codec.unpack_chunks(tx, [data for _, data in found], stops)
        for n, pieces in enumerate(contents):
            octets = sum(map(len, pieces))
            if stops is None or octets < stops[n]:
                _check(blob_ids[n], found[n][0], octets)
        return contents

    def _unpack(self, tx: Transaction, blob_id: int, size: int, data: bytes) -> bytes:
        """The content of a blob of one chunk."""
        content = self.codec.unpack(tx, data)
        _check(blob_id, size, len(content))
        return content

    def _read_chunk(self, tx: Transaction, blob_id: int, number: int) -> bytes:
        row = tx.one("SELECT data FROM chunks WHERE id = ?", (blob_id << _CHUNK_BITS) + number)
        if row is None:
            raise StoreFailed(f"chunk {number} of blob {blob_id} is missing; run `mailwright doctor`")
        return self.codec.unpack(tx, row[0])

    def sweep(self, tx: Transaction, before: int) -> int:
        stale = tx.all("SELECT id FROM blobs WHERE refs <= 0 AND created_at < ?", before)
        for (blob_id,) in stale:
            _remove(tx, blob_id)
        return len(stale)


def _pieces(blob_id: int, packed: bytes) -> list[tuple[int, bytes]]:
    """The rows of chunks for what does not stand in the blob's row."""
    starts = range(0, len(packed), _PIECE)
    return [((blob_id << _CHUNK_BITS) + n, packed[start : start + _PIECE]) for n, start in enumerate(starts)]


def _row(tx: Transaction, blob_id: int) -> tuple[int, bytes]:
    return _found(tx.one(_PACKED[tx.dialect.name], blob_id, blob_id), blob_id)


def _read_together(tx: Transaction, first: int, last: int) -> list[Row]:
    """Id, size and packed data of the blobs from `first` to `last`; None for data that is not of one chunk."""
    if first == last:
        return tx.all(_PACKED[tx.dialect.name], first, last)
    row = tx.one(_ROWS[tx.dialect.name], first, last)
    if row is None or row[0] is None:
        return []
    ids, sizes, lengths = [_numbers(column) for column in row[:3]]
    packed = _cut(row[3], lengths)
    apart: dict[int, bytes] = {}
    if not all(packed):
        for low, high in ranges([ids[n] for n, size in enumerate(sizes) if size <= CHUNK]):
            apart |= _read_pieces(tx, low, high)
    return [
        (blob_id, size, data or apart.get(blob_id))
        for blob_id, size, data in zip(ids, sizes, packed, strict=True)
    ]


def _read_pieces(tx: Transaction, first: int, last: int) -> dict[int, bytes]:
    """By their ids, what the blobs from `first` to `last` that do not stand in their rows are packed into."""
    row = tx.one(_PIECES[tx.dialect.name], first << _CHUNK_BITS, (last + 1) << _CHUNK_BITS)
    if row is None or row[0] is None:
        return {}
    lengths: dict[int, int] = {}
    for chunk_id, length in zip(_numbers(row[0]), _numbers(row[1]), strict=True):
        blob_id = chunk_id >> _CHUNK_BITS
        lengths[blob_id] = lengths.get(blob_id, 0) + length
    return dict(zip(lengths, _cut(row[2], list(lengths.values())), strict=True))


def _numbers(column: str) -> list[int]:
    return msgspec.json.decode(f"[{column}]", type=list[int])


def _cut(octets: bytes | None, lengths: Sequence[int]) -> list[bytes]:
    """What was joined, apart again; `octets` may be None for nothing."""
    data = octets or b""
    pieces: list[bytes] = []
    start = 0
    for length in lengths:
        stop = start + length
        pieces.append(data[start:stop])
        start = stop
    return pieces


def _found(row: Row | None, blob_id: int) -> tuple[int, bytes]:
    """The size of a blob, and what it is packed into when it is of one chunk. Raises NotFound, StoreFailed."""
    if row is None:
        raise NotFound(f"no blob {blob_id}")
    _, size, data = row
    if data is None and size <= CHUNK:
        raise StoreFailed(f"the content of blob {blob_id} is missing; run `mailwright doctor`")
    return size, data or b""


def _check(blob_id: int, size: int, found: int) -> None:
    if found != size:
        raise StoreFailed(
            f"blob {blob_id} is damaged: it has {found} octets, not {size}; run `mailwright doctor`"
        )


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


def add_references(tx: Transaction, blobs: Sequence[Blob]) -> dict[bytes, int]:
    """Add a reference for each of the blobs whose content is kept already; their ids, by hash."""
    wanted = Counter(blob.hash for blob in blobs)
    ids: dict[bytes, int] = {}
    for digest, blob_id in _find(
        tx, sorted(wanted)
    ):  # in one order, so that no two writers wait for each other
        if digest in wanted and digest not in ids:
            sql = "UPDATE blobs SET refs = refs + ? WHERE id = ? AND refs > 0"
            if tx.run(sql, wanted[digest], blob_id):
                ids[digest] = blob_id
    return ids


def _find(tx: Transaction, hashes: Sequence[bytes]) -> list[tuple[bytes, int]]:
    """The hashes and ids of blobs with content whose hashes begin like these."""
    found: list[tuple[bytes, int]] = []
    for start in range(0, len(hashes), _AT_ONCE):
        begins = [digest[:8] for digest in hashes[start : start + _AT_ONCE]]
        begins += begins[-1:] * ((1 << (len(begins) - 1).bit_length()) - len(begins))  # for few statements
        marks = ", ".join("?" * len(begins))
        found += tx.all(
            f"SELECT hash, id FROM blobs WHERE substr(hash, 1, 8) IN ({marks}) AND length(hash) = 32 AND refs > 0",  # noqa: S608
            *begins,
        )
    return sorted([(bytes(digest), int(blob_id)) for digest, blob_id in found])


def insert_blobs(
    tx: Transaction,
    blobs: Sequence[Blob],
    now: int,
    packed: Mapping[bytes, bytes] | None = None,
    *,
    alone: bool = False,
) -> dict[bytes, int]:
    """Add blobs that are new, with a reference for each time that they are listed; their ids, by hash.

    `packed` is what stands in their rows; `alone`: see `BlobStore.keep_all`. On PostgreSQL two that come at the same
    time may have the same content.
    """
    refs = Counter(blob.hash for blob in blobs)
    contents = packed or {}
    new = {blob.hash: blob for blob in blobs}
    rows = [
        (
            digest[:ALONE] if alone else digest,
            *(blob.size, refs[digest], now, blob.location, contents.get(digest)),
        )
        for digest, blob in new.items()
    ]
    ids = insert_numbered(tx, "blobs (hash, size, refs, created_at, location, data)", rows)
    return dict(zip(new, ids, strict=True))


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


def _remove(tx: Transaction, blob_id: int) -> None:
    """Remove a blob, unless it has a reference by now."""
    if tx.run("DELETE FROM blobs WHERE id = ? AND refs <= 0", blob_id):
        _remove_chunks(tx, blob_id, blob_id)


def _remove_chunks(tx: Transaction, first: int, last: int) -> None:
    """The chunks of the blobs from `first` to `last`."""
    tx.run("DELETE FROM chunks WHERE id >= ? AND id < ?", first << _CHUNK_BITS, (last + 1) << _CHUNK_BITS)
