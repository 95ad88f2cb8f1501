"""A message on its way in: in memory or a temporary file, then parsed, hashed and compressed."""

from __future__ import annotations

import asyncio
import mmap
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import IO, TypeVar

from mailwright.message.parser import parse_message
from mailwright.message.summary import summarize
from mailwright.store.arrivals import PreparedMessage
from mailwright.store.blobs.api import CHUNK, Blob, BlobStore, WriteNow
from mailwright.store.errors import StoreFailed, StoreFull

T = TypeVar("T")

_INLINE = 64 * 1024  # octets that are prepared in the event loop: a thread would cost more than it saves
_PIECE = 256 * 1024
_OVERHEAD = 64  # octets of memory that each piece takes beside its own: a peer may send two at a time
_FULL = (28, 122)  # ENOSPC, EDQUOT


class IncomingMessage:
    """Collects a message's octets. Memory is bounded by `memory`, whatever the size of the message."""

    def __init__(
        self, blobs: BlobStore, write_now: WriteNow, workers: Executor, folder: Path, memory: int = 256 * 1024
    ) -> None:
        self.size = 0
        self.is_ascii = True  # so far
        self._blobs = blobs
        self._write_now = write_now
        self._workers = workers
        self._folder = folder
        self._memory = memory
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._file: IO[bytes] | None = None

    async def write(self, data: bytes) -> None:
        """Add octets. Raises StoreFull or StoreFailed when the temporary file cannot take them."""
        self._pieces.append(data)
        self._waiting += len(data) + _OVERHEAD
        self.size += len(data)
        self.is_ascii = self.is_ascii and data.isascii()
        if self._waiting > self._memory:
            await self._off_loop(self._spill)

    async def finish(self, head: bytes = b"", skip: int = 0, *, apart: bool = False) -> PreparedMessage:
        """Parse, hash and compress the message, with `head` in place of its first `skip` octets.

        What is large, and with `apart` all, is uploaded to the blob store before this returns. Raises TemporaryFailure.
        May be called again with another head.
        """
        if self._file is None:
            content = self._whole(head, skip)
            if self._is_brief(content) and not apart:
                return self._prepare(content)
            return await self._off_loop(self._prepare, content, apart)
        return await self._off_loop(self._finish_file, head, skip, self._prepare_file)

    async def pack(self, head: bytes = b"", skip: int = 0) -> Blob:
        """`finish` without parsing, for what only passes through."""
        if self._file is None:
            content = self._whole(head, skip)
            if self._is_brief(content):
                return self._pack(content)
            return await self._off_loop(self._pack, content)
        return await self._off_loop(self._finish_file, head, skip, self._pack_file)

    @property
    def in_memory(self) -> bool:
        """Whether reading the octets does not block."""
        return self._file is None

    def pieces(self, skip: int = 0) -> Iterator[bytes]:
        """The octets so far but the first `skip`, in pieces; blocks when they are in a file."""
        if self._file is not None:
            position = skip
            while piece := os.pread(self._file.fileno(), _PIECE, position):
                yield piece
                position += len(piece)
            skip -= min(skip, position)
        for piece in self._pieces:
            if skip < len(piece):
                yield piece[skip:] if skip else piece
            skip = max(0, skip - len(piece))

    def head(self, limit: int) -> bytes:
        """The first octets, at most `limit`; blocks when they are in a file."""
        if self._file is None:
            return b"".join(self._pieces)[:limit]
        found = bytearray()
        for piece in self.pieces():
            found += piece
            if len(found) >= limit:
                break
        return bytes(found[:limit])

    def close(self) -> None:
        """Forget the message. Closing twice does nothing."""
        self._pieces = []
        if self._file is not None:
            self._file.close()
            self._file = None

    def _is_brief(self, content: bytes) -> bool:
        """Whether the event loop may prepare it."""
        return len(content) <= _INLINE and not self._blobs.waits

    def _whole(self, head: bytes, skip: int) -> bytes:
        content = b"".join(self._pieces)
        return head + content[skip:] if head or skip else content

    async def _off_loop(self, function: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._workers, function, *args)

    def _spill(self) -> None:
        pieces, self._pieces, self._waiting = self._pieces, [], 0
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - closed in close()
            _write_all(self._file, pieces)
        except OSError as error:
            raise _as_store_error(error, self._folder) from error

    def _finish_file(self, head: bytes, skip: int, finish: Callable[[IO[bytes]], T]) -> T:
        self._spill()
        assert self._file is not None
        if not head and not skip:
            return finish(self._file)
        try:
            with tempfile.TemporaryFile(dir=self._folder, buffering=0) as whole:
                _write_all(whole, [head])
                _write_all(whole, self.pieces(skip))
                return finish(whole)
        except OSError as error:
            raise _as_store_error(error, self._folder) from error

    def _prepare_file(self, file: IO[bytes]) -> PreparedMessage:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            parsed = parse_message(content)
            blob = self._blobs.prepare(_pieces_of(content), len(content), self._write_now)
            return PreparedMessage(blob, summarize(parsed))

    def _pack_file(self, file: IO[bytes]) -> Blob:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return self._blobs.prepare(_pieces_of(content), len(content), self._write_now)

    def _prepare(self, content: bytes, apart: bool = False) -> PreparedMessage:
        return PreparedMessage(self._pack(content, apart), summarize(parse_message(content)))

    def _pack(self, content: bytes, apart: bool = False) -> Blob:
        return self._blobs.prepare((content,), len(content), self._write_now, apart=apart)


def prepare_small(blobs: BlobStore, content: bytes) -> PreparedMessage:
    """Make a message of our own ready, within a transaction: at most CHUNK octets."""
    if len(content) > CHUNK:
        raise ValueError(f"a message of {len(content)} octets must come as an IncomingMessage")
    blob = blobs.prepare((content,), len(content), _no_upload)
    return PreparedMessage(blob, summarize(parse_message(content)))


def _no_upload(*_: object) -> object:
    raise AssertionError("a small message is not uploaded")


def _pieces_of(content: mmap.mmap) -> Iterator[bytes]:
    for start in range(0, len(content), _PIECE):
        yield content[start : start + _PIECE]


def _write_all(file: IO[bytes], pieces: Iterator[bytes] | list[bytes]) -> None:
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            # Not within the slice: mypyc evaluates a bound of a slice twice, and the octets would be there twice.
            written = file.write(rest)
            rest = rest[written:]


def _as_store_error(error: OSError, folder: Path) -> StoreFull | StoreFailed:
    if error.errno in _FULL:
        return StoreFull(f"the disk is full: cannot write a temporary file in {folder}")
    return StoreFailed(f"cannot write a temporary file in {folder}: {error.strerror}")
