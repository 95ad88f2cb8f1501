"""Every write and every sync fails in turn, once and from then on; and the power goes off at any moment."""

from __future__ import annotations

import contextlib
import gc
import itertools
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from crash.disk import Disk, Kind
from crash.work import Work
from support.accounts import new_account

from mailwright.store.blobs.database import DatabaseBlobs
from mailwright.store.db import checkpoints, sqlite
from mailwright.store.errors import TemporaryFailure

FAULTS: dict[Kind, type[apsw.Error]] = {
    "write": apsw.FullError,
    "sync": apsw.IOError,
    "truncate": apsw.IOError,
}
_names = itertools.count()


@pytest.fixture(autouse=True)
def _checkpoint_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database file itself is written often, not the write-ahead log alone."""
    for name, pages in (("_PAGES", 15), ("_FEW", 5), ("_STEP", 15), ("_MOST", 60)):
        monkeypatch.setattr(checkpoints, name, pages)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    # A connection that is closed while its disk fails has nobody to tell.
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
    disk = Disk(f"faulty-{next(_names)}")
    yield disk
    gc.collect()
    disk.unregister()


def database(path: Path, disk: Disk | None = None) -> sqlite.SQLiteDatabase:
    return sqlite.SQLiteDatabase(path, DatabaseBlobs(), vfs=disk.name if disk else None, busy_timeout=5.0)


async def new_store(path: Path) -> int:
    """A database with one account, whose id it returns."""
    db = database(path)
    await db.start()
    account = await db.write(new_account, "alice@example.org")
    await db.close()
    return account


async def operations(folder: Path, disk: Disk, kind: Kind) -> int:
    """How many operations of a kind the work takes when nothing fails."""
    account = await new_store(folder / "count.db")
    db = database(folder / "count.db", disk)
    await db.start()
    disk.counts[kind] = 0
    await (await Work(db, account).open()).run()
    await db.close()
    return disk.counts[kind]


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("kind", ["write", "sync", "truncate"])
async def test_each_operation_fails_in_turn(tmp_path: Path, disk: Disk, kind: Kind, lasting: bool) -> None:
    total = await operations(tmp_path, disk, kind)
    account = await new_store(tmp_path / "new.db")
    refused = 0
    for number in range(1, total + 1):
        path = tmp_path / f"{number}.db"
        shutil.copy(tmp_path / "new.db", path)
        db = database(path, disk)
        await db.start()
        work = await Work(db, account, seed=number).open()
        disk.fail_at(kind, number, lasting=lasting, error=FAULTS[kind])
        await work.run()  # raises what is not a temporary failure
        await work.check()  # reads are served while the disk fails
        refused += work.refused
        disk.heal()
        before = len(work.acknowledged)
        await work.deliver()  # no restart was needed
        assert len(work.acknowledged) == before + 1
        await work.check()
        await db.close()
        await assert_kept(path, work)
    if kind != "truncate":
        assert refused >= total / 4, "the faults were not felt"


async def assert_kept(path: Path, work: Work) -> None:
    """After a new start the file is sound and holds what was acknowledged, and that alone."""
    plain = apsw.Connection(str(path))
    assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    plain.close()
    work.db = database(path)
    await work.db.start()
    await work.check()
    await work.db.close()
    for file in path.parent.glob(path.name + "*"):
        file.unlink()


@pytest.mark.parametrize("kind", ["write", "sync"])
async def test_a_disk_that_fails_at_the_first_start_does_not_hinder_the_next(
    tmp_path: Path, disk: Disk, kind: Kind
) -> None:
    for number in itertools.count(1):
        path = tmp_path / f"{number}.db"
        disk.fail_at(kind, number, lasting=True, error=FAULTS[kind])
        db = database(path, disk)
        with contextlib.suppress(TemporaryFailure):
            await db.start()
            await db.close()
        felt = disk.failures
        disk.heal()
        db = database(path, disk)
        await db.start()
        account = await db.write(new_account, "alice@example.org")
        work = await Work(db, account).open()
        await work.deliver()
        await work.check()
        await db.close()
        if not felt:
            break
    assert number > 3


@pytest.mark.parametrize("seed", range(8))
async def test_a_power_cut_loses_nothing_that_was_acknowledged(tmp_path: Path, disk: Disk, seed: int) -> None:
    """The power goes off after each step; what the drive had not synced is lost, in part or whole."""
    path, chance = tmp_path / "mail.db", random.Random(seed)
    db = database(path, disk)
    await db.start()
    account = await db.write(new_account, "alice@example.org")
    work = await Work(db, account, seed).open()
    cuts: list[tuple[Path, dict[int, bytes], set[int]]] = []

    def cut() -> None:
        folder = tmp_path / f"cut{len(cuts)}"
        folder.mkdir()
        disk.power_cut(folder, chance)
        cuts.append((folder / path.name, dict(work.acknowledged), set(work.flagged)))

    await work.run(after=cut)
    await work.run(after=cut)
    await db.close()
    for file, acknowledged, flagged in cuts:
        work.acknowledged, work.flagged = acknowledged, flagged
        await assert_kept(file, work)
