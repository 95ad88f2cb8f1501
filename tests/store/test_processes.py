"""Processes that read beside the server say what threads say, and nothing is lost when they do not."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.accounts import new_account
from support.apart import content, die, names, octets, reader, started, wait_for
from support.stores import with_tables

from mailwright.store import arrivals, learning, mailboxes
from mailwright.store.blobs.api import BlobStore
from mailwright.store.blobs.database import DatabaseBlobs
from mailwright.store.blobs.disk import DiskBlobs
from mailwright.store.db import processes
from mailwright.store.db.api import Transaction
from mailwright.store.db.child import PLACES, ROOM
from mailwright.store.db.sqlite import SQLiteDatabase
from mailwright.store.errors import NotFound
from mailwright.store.incoming import prepare_small

NOW = 1_700_000_000


@pytest.fixture(params=["database", "files"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    return DatabaseBlobs() if request.param == "database" else DiskBlobs(tmp_path / "blobs")


@pytest.fixture
async def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SQLiteDatabase]:
    async for database in _opened(tmp_path, DatabaseBlobs(), monkeypatch):
        yield database


async def _opened(
    tmp_path: Path, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SQLiteDatabase]:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    database = SQLiteDatabase(with_tables(tmp_path / "mail.sqlite"), blobs)
    await database.start()
    yield database
    await database.close()


async def gone(pid: int) -> None:
    async with asyncio.timeout(60):
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.01)


async def test_the_server_reads_until_a_process_is_ready(db: SQLiteDatabase) -> None:
    assert await db.read_apart(reader) == os.getpid()
    assert await started(db) != os.getpid()


async def test_mail_is_read_wherever_it_is_kept_and_whatever_packs_it(
    tmp_path: Path, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async for db in _opened(tmp_path, blobs, monkeypatch):
        account = await db.write(new_account, "ann@example.org")
        inbox = (await db.read(mailboxes.find_mailbox, account, "INBOX")).id
        pid = await started(db)

        first = await db.write(_add, account, inbox, 1)
        assert (await db.read_apart(content, first)).startswith(b"Subject: 1\r\n")
        learner = learning.Learner(db, blobs)
        blobs.codec.samples = [b"Subject: %d\r\n\r\nHello, it is %d.\r\n" % (n, n) for n in range(128)]
        learner.notice()
        await learner.close()
        second = await db.write(_add, account, inbox, 2)
        assert (await db.read_apart(content, second)).startswith(b"Subject: 2\r\n")
        assert await db.read_apart(reader) == pid


def _add(tx: Transaction, account: int, inbox: int, number: int) -> int:
    """The blob of a message that was added."""
    message = prepare_small(tx.blobs, b"Subject: %d\r\n\r\nHello.\r\n" % number)
    arrivals.add(tx, account, inbox, message, now=NOW)
    row = tx.one("SELECT max(id) FROM blobs")
    assert row is not None
    return int(row[0])


async def test_what_nobody_waits_for_is_read_by_another_process_from_the_first_time_on(
    db: SQLiteDatabase,
) -> None:
    first = await db.read_unhurried(reader)
    assert first != os.getpid()
    assert await db.read_unhurried(reader) == first


async def test_what_is_committed_is_seen(db: SQLiteDatabase) -> None:
    await started(db)
    for number in range(20):
        await db.write(_put, f"n{number}")
        assert len(await db.read_apart(names)) == number + 1


def _put(tx: Transaction, name: str) -> None:
    tx.run("INSERT INTO settings (name, value) VALUES (?, ?)", name, b"")


@pytest.mark.parametrize("size", [0, 1, 1000, ROOM - 100, ROOM, 3 * ROOM])
async def test_many_results_at_once_come_each_to_who_asked(db: SQLiteDatabase, size: int) -> None:
    await started(db)
    results = await asyncio.gather(*(db.read_apart(octets, n, size) for n in range(5 * PLACES)))
    assert results == [bytes([n]) * size for n in range(5 * PLACES)]


async def test_results_for_those_who_have_gone_are_dropped(db: SQLiteDatabase) -> None:
    await started(db)
    waiting = [asyncio.create_task(db.read_apart(octets, n, 1000 * n)) for n in range(3 * PLACES)]
    await asyncio.sleep(0)
    for task in waiting[::2]:
        task.cancel()
    await asyncio.wait(waiting)
    assert [len(task.result()) for task in waiting[1::2]] == [1000 * n for n in range(1, 3 * PLACES, 2)]


async def test_an_error_is_told_as_it_was_raised(db: SQLiteDatabase) -> None:
    pid = await started(db)
    with pytest.raises(NotFound, match="no blob 77"):
        await db.read_apart(content, 77)
    assert await db.read_apart(reader) == pid


async def test_a_process_that_dies_loses_nothing(
    db: SQLiteDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(processes, "_RETRY", 0.0)
    pid = await started(db)
    results = await asyncio.gather(*(db.read_apart(die, os.getpid()) for _ in range(3)))
    assert results == ["the server did it"] * 3
    assert await started(db, other_than=pid) != os.getpid()
    assert "ended by itself" in caplog.text


async def test_a_process_that_is_stopped_keeps_nobody_waiting(
    db: SQLiteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_RETRY", 0.0)
    pid = await started(db)
    monkeypatch.setattr(processes, "_PATIENCE", 0.2)
    os.kill(pid, signal.SIGSTOP)
    async with asyncio.timeout(60):
        assert await asyncio.gather(*(db.read_apart(reader) for _ in range(3)))
    await gone(pid)
    monkeypatch.setattr(processes, "_PATIENCE", 3600.0)
    os.kill(await started(db, other_than=pid), signal.SIGSTOP)
    async with asyncio.timeout(60):
        await db.close()


async def test_a_process_that_hangs_while_it_starts_keeps_nobody_waiting(
    db: SQLiteDatabase, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written, told = str(tmp_path / "written"), str(tmp_path / "pid")
    command = (
        sys.executable,
        "-c",
        f"import os; open({written!r}, 'w').write(str(os.getpid())); os.rename({written!r}, {told!r});"
        " os.kill(os.getpid(), 19)",
    )
    monkeypatch.setattr(processes, "_COMMAND", command)
    monkeypatch.setattr(processes, "_PATIENCE", 3600.0)
    async with asyncio.timeout(60):
        while not (tmp_path / "pid").exists():
            assert await db.read_apart(reader) == os.getpid()
            await asyncio.sleep(0.01)
        await db.close()
    await gone(int((tmp_path / "pid").read_text()))


async def test_what_cannot_be_asked_is_nobody_elses_answer(db: SQLiteDatabase) -> None:
    pid = await started(db)
    with pytest.raises((AttributeError, pickle.PicklingError)):
        await db.read_apart(lambda tx: 1)
    assert await db.read_apart(reader) == pid


async def test_another_one_starts_when_one_is_busy(
    db: SQLiteDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_PATIENCE", 3600.0)
    first = await started(db)
    busy = asyncio.create_task(db.read_apart(wait_for, str(tmp_path / "over")))
    second = await started(db, other_than=first)
    assert not busy.done()
    assert len({os.getpid(), first, second}) == 3
    (tmp_path / "over").touch()
    await busy


async def test_they_end_after_a_while_without_work_and_with_the_server(
    db: SQLiteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_IDLE", 0.05)
    pid = await started(db)
    await gone(pid)
    again = await started(db)
    assert again != pid
    await db.close()
    assert not Path(f"/proc/{again}").exists()


async def test_they_end_when_the_server_is_killed(tmp_path: Path) -> None:
    script = (
        "import asyncio, os, sys\nfrom pathlib import Path\n"
        "os.sched_getaffinity = lambda pid: {0, 1}\n"
        "from support.apart import started\n"
        "from mailwright.store.blobs.database import DatabaseBlobs\n"
        "from mailwright.store.db.sqlite import SQLiteDatabase\n"
        "async def main():\n"
        "    db = SQLiteDatabase(Path(sys.argv[1]), DatabaseBlobs())\n"
        "    await db.start()\n"
        "    print(await started(db), flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        str(tmp_path / "mail.sqlite"),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert server.stdout is not None
    pid = int(await server.stdout.readline())
    server.kill()
    await server.wait()
    await gone(pid)


async def test_without_them_the_server_reads(
    db: SQLiteDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for command in (("/nonexistent",), ("/bin/false",)):
        monkeypatch.setattr(processes, "_COMMAND", command)
        monkeypatch.setattr(processes, "_RETRY", 0.0)
        caplog.clear()
        async with asyncio.timeout(60):
            while "could not be started" not in caplog.text:
                assert await db.read_apart(reader) == os.getpid()
                await asyncio.sleep(0.01)
