"""A disk for SQLite whose writes and syncs can fail, and that remembers what a power cut would leave of its files."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Literal

import apsw

Kind = Literal["write", "sync", "truncate"]
_SECTOR = 512


class _Contents:
    """What is on the platters of one file, and what waits in the drive's cache."""

    def __init__(self) -> None:
        self.durable = bytearray()
        self.waiting: list[tuple[int, bytes | None]] = []  # None: truncated there

    def sync(self) -> None:
        for offset, data in self.waiting:
            _apply(self.durable, offset, data)
        self.waiting.clear()

    def after_power_cut(self, chance: random.Random) -> bytes:
        """The durable octets, and of the waiting ones those sectors that happened to be written."""
        image = bytearray(self.durable)
        for offset, data in self.waiting:
            if data is None:
                if chance.random() < 0.5:
                    _apply(image, offset, None)
                continue
            for start in range(0, len(data), _SECTOR):
                if chance.random() < 0.5:
                    _apply(image, offset + start, data[start : start + _SECTOR])
        return bytes(image)


class Disk(apsw.VFS):
    """A VFS over the real one. `fail_at(kind, n)` makes the n-th write or sync from now on fail."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "")
        self.name = name
        self.counts: dict[str, int] = {"write": 0, "sync": 0, "truncate": 0}
        self.failures = 0
        self._fault: tuple[Kind, int, bool, type[apsw.Error]] | None = None
        self._contents: dict[str, _Contents] = {}
        self._lock = threading.Lock()

    def fail_at(self, kind: Kind, number: int, *, lasting: bool, error: type[apsw.Error]) -> None:
        """Let the `number`-th operation of this kind fail (the first is 1); `lasting`: all of its kind after it too."""
        self.failures = 0
        self.counts = dict.fromkeys(self.counts, 0)
        self._fault = (kind, number, lasting, error)

    def heal(self) -> None:
        """Nothing fails from now on."""
        self._fault = None

    def power_cut(self, folder: Path, chance: random.Random) -> None:
        """Write into `folder` the files as they would be found after the power went off just now."""
        with self._lock:
            for name, contents in self._contents.items():
                (folder / Path(name).name).write_bytes(contents.after_power_cut(chance))

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is None:
            return apsw.VFSFile("", name, flags)
        with self._lock:
            contents = self._contents.setdefault(path, _Contents())
        return _File(self, contents, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        with self._lock:
            self._contents.pop(filename, None)

    def count(self, kind: Kind) -> None:
        """Called before each operation. Raises the fault when its turn has come."""
        with self._lock:
            self.counts[kind] += 1
            if self._fault is None:
                return
            failing, number, lasting, error = self._fault
            if kind == failing and (self.counts[kind] == number or (lasting and self.counts[kind] > number)):
                self.failures += 1
                raise error("the disk fails, as it was told to")

    def change(self, contents: _Contents, offset: int, data: bytes | None) -> None:
        with self._lock:
            contents.waiting.append((offset, data))

    def make_durable(self, contents: _Contents) -> None:
        with self._lock:
            contents.sync()


class _File(apsw.VFSFile):
    def __init__(
        self, disk: Disk, contents: _Contents, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._contents = contents

    def xWrite(self, data: bytes, offset: int) -> None:
        try:
            self._disk.count("write")
        except apsw.Error:
            half = data[: len(data) // 2]  # a write that fails may have done a part of its work
            super().xWrite(half, offset)
            self._disk.change(self._contents, offset, half)
            raise
        super().xWrite(data, offset)
        self._disk.change(self._contents, offset, bytes(data))

    def xTruncate(self, newsize: int) -> None:
        self._disk.count("truncate")
        super().xTruncate(newsize)
        self._disk.change(self._contents, newsize, None)

    def xSync(self, flags: int) -> None:
        self._disk.count("sync")  # the real one is not waited for: what is durable is told by `contents`
        self._disk.make_durable(self._contents)


def _apply(image: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del image[offset:]
        return
    if len(image) < offset:
        image.extend(bytes(offset - len(image)))
    image[offset : offset + len(data)] = data
