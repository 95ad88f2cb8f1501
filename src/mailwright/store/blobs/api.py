"""The contract of a place for blobs: written before the row that names them, removed after the last row is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from mailwright.store.blobs.codec import Codec
    from mailwright.store.db.api import Transaction

CHUNK = 256 * 1024  # octets of content in one chunk; a blob of at most this size is one row
ALONE: Final = 16  # octets of the hash that are kept of a blob that is like no other

Pieces = Sequence[bytes | memoryview]  # octets that follow one another


class Blob(NamedTuple):
    """Content that is ready to be kept: small ones carry it, large ones are uploaded already."""

    hash: bytes  # SHA-256
    size: int
    data: bytes | None  # the content, for a blob of one chunk: compressed only when it turns out to be new
    upload: int | None = None  # the id of the row under which its chunks wait
    location: str | None = None  # where an adapter put it
    brief: bool = False  # it will be gone in a moment: to compress it costs more than it saves


def is_hash_of(kept: bytes, digest: bytes) -> bool:
    """Whether the hash that is kept of a blob, which may be only the first octets, is this SHA-256."""
    return len(kept) >= ALONE and digest.startswith(kept)


# Runs a store operation and waits until it is durable; from a worker thread.
WriteNow = Callable[..., object]


class BlobStore(Protocol):
    """Where blobs are kept. All calls block: they run in worker, reader and writer threads."""

    codec: Codec
    newest: int  # the highest id that this process gave to a blob
    waits: bool  # whether `prepare` waits for a disk, however little it is given

    def prepare(
        self, pieces: Iterable[bytes], size: int, write_now: WriteNow, *, apart: bool = False
    ) -> Blob:
        """Hash and compress content of `size` octets; what is larger than a chunk is uploaded before this returns.

        With `apart` what is smaller is uploaded too, and need not stay in memory.
        """
        ...

    def keep(self, tx: Transaction, blob: Blob, now: int) -> int:
        """Add a reference to a blob, storing it when it is new; its id."""
        ...

    def keep_all(self, tx: Transaction, blobs: Sequence[Blob], now: int, *, alone: bool = False) -> list[int]:
        """`keep` for many blobs, some of which may be the same.

        `alone` tells that each carries an id of its own, in its trace: the like was never kept and will not come again,
        so it is neither looked for nor found later.
        """
        ...

    def settle(self, tx: Transaction, blob_ids: Iterable[int]) -> None:
        """Compress what was kept as `brief` and stays after all. Raises StoreFailed when it is damaged."""
        ...

    def release(self, tx: Transaction, blob_id: int) -> None:
        """Drop a reference; a blob without one is removed."""
        ...

    def release_all(self, tx: Transaction, blob_ids: Iterable[int]) -> None:
        """`release` for many blobs, each once."""
        ...

    def read(self, tx: Transaction, blob_id: int, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The content from octet `start` to `stop`, in pieces of at most CHUNK octets.

        Raises StoreFailed when it cannot be read or is damaged.
        """
        ...

    def read_whole(self, tx: Transaction, blob_id: int) -> bytes:
        """All the content: for blobs known to be small."""
        ...

    def read_each(
        self, tx: Transaction, blob_ids: Sequence[int], stops: Sequence[int] | None = None
    ) -> list[Pieces]:
        """`read_whole` for many blobs of at most CHUNK octets; quickest where their ids follow each other.

        `stops` tells how many octets of each are wanted: it may be these alone, or all.
        """
        ...

    def check_place(self, tx: Transaction) -> None:
        """Whether what was kept lies where this one keeps it. Raises StoreError, which says what to set instead."""
        ...

    def sweep(self, tx: Transaction, before: int) -> int:
        """Remove uploads that nobody finished, made before that time; how many."""
        ...
