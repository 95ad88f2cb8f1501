"""What is SQLite's own: one commit for many writes, a savepoint for each, and an event loop that never waits."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import apsw
import pytest
from support.accounts import new_account, prepared

from mailwright.store import arrivals, mailboxes, schema
from mailwright.store.blobs.database import DatabaseBlobs
from mailwright.store.db import allowance, checkpoints, gather
from mailwright.store.db.api import Row, Transaction
from mailwright.store.db.sqlite import SQLiteDatabase
from mailwright.store.errors import StoreBusy, StoreError, StoreFailed


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[SQLiteDatabase]:
    database = SQLiteDatabase(tmp_path / "mail.sqlite", DatabaseBlobs(), busy_timeout=0.2)
    await database.start()
    yield database
    await database.close()


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, nothing brief counts as long."""
    monkeypatch.setattr(allowance, "_LONG", 3600.0)


def put(tx: Transaction, name: str) -> str:
    tx.run("INSERT INTO settings (name, value) VALUES (?, ?)", name, b"")
    return name


def names(tx: Transaction) -> list[str]:
    return [name for (name,) in tx.all("SELECT name FROM settings ORDER BY name")]


async def test_one_refused_write_leaves_the_others_in_the_batch(db: SQLiteDatabase) -> None:
    def refuse(tx: Transaction) -> None:
        put(tx, "never")
        raise KeyError("no")

    results = await asyncio.gather(
        *(db.write(put, f"n{number}") for number in range(5)),
        db.write(refuse),
        db.write(put, "n0"),  # taken
        *(db.write(put, f"m{number}") for number in range(5)),
        return_exceptions=True,
    )
    assert isinstance(results[5], KeyError)
    assert isinstance(results[6], apsw.ConstraintError)
    assert sum(isinstance(result, Exception) for result in results) == 2
    assert await db.read(names) == sorted(
        [f"n{number}" for number in range(5)] + [f"m{number}" for number in range(5)]
    )


async def count_commits(db: SQLiteDatabase) -> list[None]:
    """A list that is as long as there are commits from now on."""
    commits: list[None] = []

    def count() -> bool:
        commits.append(None)
        return False

    def listen(tx: Transaction) -> None:  # in the writer's thread, which alone may use its connection
        assert db._connection is not None
        db._connection.set_commit_hook(count)

    await db.write(listen)
    commits.clear()
    return commits


async def test_writes_that_wait_share_a_commit(db: SQLiteDatabase) -> None:
    commits = await count_commits(db)
    await asyncio.gather(*(db.write(put, f"n{number}") for number in range(500)))
    assert len(commits) < 100
    assert len(await db.read(names)) == 500


async def test_writes_share_a_commit_while_the_loop_has_other_work(
    db: SQLiteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = await count_commits(db)
    monkeypatch.setattr(gather, "_REST", 0.0)  # the loop never rests,
    monkeypatch.setattr(gather, "_GATHER", 3600.0)  # and has an hour
    writes = []
    for number in range(10):
        writes.append(asyncio.create_task(db.write(put, f"n{number}")))
        await asyncio.sleep(0)  # a turn of the loop
    assert len(commits) == 0
    monkeypatch.setattr(gather, "_REST", 3600.0)  # now it rests
    await asyncio.gather(*writes)
    assert len(commits) == 1


async def test_a_busy_loop_keeps_no_write_for_long(
    db: SQLiteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "_REST", 0.0)  # it never rests, and after 2 ms hands over all the same
    assert await db.write(put, "kept") == "kept"


async def test_the_end_of_a_busy_loop_loses_no_write(
    db: SQLiteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "_REST", 0.0)
    monkeypatch.setattr(gather, "_GATHER", 3600.0)
    write = asyncio.create_task(db.write(put, "kept"))
    await asyncio.sleep(0)
    await db.close()
    assert await write == "kept"


def put_all(tx: Transaction, wanted: Sequence[str]) -> list[int]:
    """Which thread put each."""
    return [threading.get_ident() for name in wanted if put(tx, name)]


async def test_what_is_brief_is_run_in_the_event_loop_and_committed_beside_it(db: SQLiteDatabase) -> None:
    commits = await count_commits(db)
    threads = await asyncio.gather(*(db.write_together(put_all, f"n{number}") for number in range(300)))
    assert set(threads) == {threading.get_ident()}
    assert len(await db.read(names)) == 300
    assert 5 <= len(commits) < 100  # at most 64 at once, so that the loop has its turns


async def test_what_is_brief_shares_a_commit_with_what_is_not(db: SQLiteDatabase) -> None:
    commits = await count_commits(db)
    thread, name, other = await asyncio.gather(
        db.write_together(put_all, "a"), db.write(put, "b"), db.write_together(put_all, "c")
    )
    assert thread == other != threading.get_ident()
    assert name == "b"
    assert len(commits) == 1


async def test_one_refused_brief_write_leaves_the_others(db: SQLiteDatabase) -> None:
    results = await asyncio.gather(
        *(db.write_together(put_all, name) for name in ("a", "b", "a", "c")), return_exceptions=True
    )
    assert [isinstance(result, apsw.ConstraintError) for result in results] == [False, False, True, False]
    assert await db.read(names) == ["a", "b", "c"]


async def test_what_is_brief_does_not_wait_in_the_event_loop(tmp_path: Path) -> None:
    db = SQLiteDatabase(tmp_path / "mail.sqlite", DatabaseBlobs(), busy_timeout=60)
    await db.start()
    with contextlib.closing(apsw.Connection(str(tmp_path / "mail.sqlite"))) as other:
        other.execute("BEGIN IMMEDIATE")
        write = asyncio.create_task(db.write_together(put_all, "a"))
        await asyncio.sleep(0.01)
        assert not write.done()  # else the loop has waited for as long as the writer has patience
        other.execute("ROLLBACK")
        assert await write != threading.get_ident()
    assert await db.write_together(put_all, "b") == threading.get_ident()
    assert await db.read(names) == ["a", "b"]
    await db.close()


async def test_what_is_brief_is_refused_when_another_process_holds_the_file(
    db: SQLiteDatabase, tmp_path: Path
) -> None:
    with contextlib.closing(apsw.Connection(str(tmp_path / "mail.sqlite"))) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy):
            await db.write_together(put_all, "a")
    assert await db.write_together(put_all, "b") == threading.get_ident()
    assert await db.read(names) == ["b"]


async def test_what_was_called_brief_and_waits_is_left_to_threads_for_a_while(
    db: SQLiteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(tx: Transaction, seconds: float) -> int:
        time.sleep(seconds)
        return threading.get_ident()

    loop = threading.get_ident()
    monkeypatch.setattr(allowance, "_LONG", 0.2)
    for brief in (db.write_briefly, db.read_briefly):
        db._allowance = allowance.Allowance()
        begun = time.monotonic()
        assert await brief(wait, 0.3) == loop
        assert db._allowance._again_at > begun + 6  # twenty times as long
        db._allowance._again_at += 60.0  # however busy the machine is
        assert await brief(wait, 0.0) != loop
        assert await db.write_together(put_all, brief.__name__) != loop
        db._allowance = allowance.Allowance()
        assert await brief(wait, 0.0) == loop


def test_who_is_kept_from_a_processor_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance, "_LONG", 0.2)
    clock = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    one = allowance.Allowance()
    assert one.granted()
    clock += 1.0
    one.spent()
    assert one.granted()
    time.sleep(0.001)
    clock += 1.0
    one.spent()
    assert not one.granted()
    clock += 21.0
    assert one.granted()


async def test_a_brief_read_raises_what_its_operation_raises(db: SQLiteDatabase) -> None:
    def refuse(tx: Transaction) -> None:
        raise KeyError(threading.get_ident())

    with pytest.raises(KeyError, match=str(threading.get_ident())):
        await db.read_briefly(refuse)
    with pytest.raises(StoreError, match="no such table"):
        await db.read_briefly(lambda tx: tx.all("SELECT 1 FROM absent"))
    assert await db.read_briefly(names) == []


async def test_what_is_brief_is_tried_once_more_when_its_commit_fails(db: SQLiteDatabase) -> None:
    fails: list[bool] = []

    def listen(tx: Transaction) -> None:
        assert db._connection is not None
        db._connection.set_commit_hook(lambda: bool(fails) and fails.pop(0))

    await db.write(listen)
    fails[:] = [True, True, False, True]  # together, with savepoints, the first alone, the second alone
    results = await asyncio.gather(
        *(db.write_together(put_all, name) for name in ("a", "b")), return_exceptions=True
    )
    assert isinstance(results[0], int)
    assert isinstance(results[1], Exception)
    assert await db.read(names) == ["a"]
    assert fails == []


@pytest.mark.parametrize("seed", range(8))
async def test_whoever_is_told_that_it_is_kept_finds_it_once_and_nobody_else(
    db: SQLiteDatabase, tmp_path: Path, seed: int
) -> None:
    """All kinds of writes at once, some of which refuse, while commits fail and another process holds the file."""
    dice = random.Random(seed)

    def listen(tx: Transaction) -> None:
        assert db._connection is not None
        db._connection.set_commit_hook(lambda: dice.random() < 0.1)

    def refuse(tx: Transaction, name: str) -> str:
        put(tx, name)
        raise KeyError(name)

    await db.write(listen)
    other = apsw.Connection(str(tmp_path / "mail.sqlite"))
    other.set_busy_timeout(30_000)
    ways: list[Callable[[Callable[[Transaction, str], str], str], Awaitable[object]]] = [
        db.write,
        db.write_briefly,
        lambda work, name: db.write_together(put_all, name),
        lambda work, name: asyncio.to_thread(db.write_now, work, name),
    ]
    writes: dict[str, asyncio.Future[object]] = {}
    for number in range(400):
        name = f"n{number}"
        work = refuse if dice.random() < 0.05 else put
        writes[name] = asyncio.ensure_future(dice.choice(ways)(work, name))
        if dice.random() < 0.3:
            await asyncio.sleep(dice.random() * 0.004)
        if number == 200:
            other.execute("BEGIN IMMEDIATE")
            asyncio.get_running_loop().call_later(0.05, other.execute, "ROLLBACK")
    results = await asyncio.gather(*writes.values(), return_exceptions=True)
    kept = [name for name, result in zip(writes, results, strict=True) if not isinstance(result, Exception)]
    assert await db.read(names) == sorted(kept)
    assert 300 < len(kept) < 400
    other.close()


async def test_the_end_loses_nothing_that_is_brief(db: SQLiteDatabase) -> None:
    writes = [asyncio.create_task(db.write_together(put_all, f"n{number}")) for number in range(200)]
    await asyncio.sleep(0)
    await db.close()
    assert len(await asyncio.gather(*writes)) == 200


async def test_a_thread_writes_beside_the_event_loop(db: SQLiteDatabase) -> None:
    thread = asyncio.create_task(asyncio.to_thread(lambda: [db.write_now(put, f"t{n}") for n in range(50)]))
    await asyncio.gather(*(db.write_together(put_all, f"n{number}") for number in range(50)))
    assert len(await thread) == 50
    assert len(await db.read(names)) == 100
    with pytest.raises(RuntimeError, match="await write"):
        db.write_now(put, "here")


async def test_changes_are_announced_after_the_commit(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    database = SQLiteDatabase(
        tmp_path / "other.sqlite",
        DatabaseBlobs(),
        on_change=lambda account, modseq: told.append((account, modseq)),
    )
    await database.start()
    account = await database.write(new_account, "a@example.org")
    box = await database.read(mailboxes.find_mailbox, account, "INBOX")
    told.clear()
    added = await database.write(arrivals.add, account, box.id, prepared(database, b"x"), now=1)
    assert told == [(account, added.modseq)]
    told.clear()
    with pytest.raises(ZeroDivisionError):
        await database.write(lambda tx: [tx.announce(account, 99), 1 // 0])
    assert told == []
    await database.close()


async def test_another_process_that_holds_the_file_is_a_temporary_failure(
    db: SQLiteDatabase, tmp_path: Path
) -> None:
    other = apsw.Connection(str(tmp_path / "mail.sqlite"))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy, match="another process"):
        await db.write(put, "x")
    assert await db.read(names) == []
    other.execute("ROLLBACK")
    await db.write(put, "x")
    assert await db.read(names) == ["x"]


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    database = SQLiteDatabase(tmp_path / "mail.sqlite", DatabaseBlobs())
    await database.start()
    waiting = asyncio.gather(*(database.write(put, f"n{number}") for number in range(50)))
    await asyncio.sleep(0)
    await database.close()
    assert len(await waiting) == 50  # what was asked for before is done
    with pytest.raises(StoreFailed, match="closed"):
        await database.write(put, "x")


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "mail.sqlite").write_bytes(b"this is no database" * 1000)
    database = SQLiteDatabase(tmp_path / "mail.sqlite", DatabaseBlobs())
    with pytest.raises(StoreFailed, match="doctor"):
        await database.start()


async def test_a_newer_schema_is_refused(db: SQLiteDatabase, tmp_path: Path) -> None:
    await db.write(lambda tx: tx.run("INSERT INTO schema_versions VALUES (9999, 'future')"))
    newer = SQLiteDatabase(tmp_path / "mail.sqlite", DatabaseBlobs())
    with pytest.raises(schema.SchemaTooNew, match="9999"):
        await newer.start()


async def test_the_log_file_stays_bounded(db: SQLiteDatabase, tmp_path: Path) -> None:
    for _ in range(30):
        await asyncio.gather(*(db.write(_fill, number) for number in range(20)))
    assert (tmp_path / "mail.sqlite-wal").stat().st_size < 160 * 1024 * 1024


def _fill(tx: Transaction, number: int) -> None:
    tx.run(
        "INSERT INTO chunks (id, data) VALUES ((SELECT coalesce(max(id), 0) + 1 FROM chunks), ?)",
        bytes(200_000),
    )
    tx.run("DELETE FROM chunks WHERE id % 3 = 0")


async def test_readers_that_take_long_do_not_hold_up_the_others(db: SQLiteDatabase) -> None:
    """Of three threads two may be at work for long."""
    going_on = threading.Event()

    def wait(tx: Transaction) -> bool:
        return going_on.wait(30)

    long = [asyncio.ensure_future(db.read(wait)) for _ in range(2)]
    try:
        assert await asyncio.gather(*(db.read(names) for _ in range(100))) == [[]] * 100
        assert not any(one.done() for one in long)
    finally:
        going_on.set()
    assert await asyncio.gather(*long) == [True, True]
    assert await db.read(names) == []


async def test_a_read_that_fails_and_one_that_nobody_waits_for(db: SQLiteDatabase) -> None:
    def refuse(tx: Transaction) -> None:
        raise KeyError("no")

    results = asyncio.gather(db.read(refuse), db.read(names), return_exceptions=True)
    left = asyncio.ensure_future(db.read(names))
    await asyncio.sleep(0)
    left.cancel()
    failed, found = await results
    assert isinstance(failed, KeyError)
    assert found == []


async def test_what_an_operation_leaves_open_is_closed_in_its_thread(db: SQLiteDatabase) -> None:
    left: list[Iterator[Row]] = []

    def leave(tx: Transaction) -> None:
        rows = tx.rows("VALUES (1), (2), (3)")
        assert next(rows) == (1,)
        left.append(rows)

    def leave_and_refuse(tx: Transaction) -> None:
        leave(tx)
        raise KeyError("no")

    for run in (db.read, db.read_briefly, db.write, db.write_briefly):
        await run(leave)
        with pytest.raises(KeyError):
            await run(leave_and_refuse)
    assert len(left) >= 8
    for rows in left:
        with pytest.raises(apsw.CursorClosedError):
            next(rows)


_SET = (
    "INSERT INTO account_state (account, modseq, last_id, bytes, messages) VALUES (7, {0}, 0, 0, 0)"
    " ON CONFLICT DO UPDATE SET modseq = {0}"
)


def reach(tx: Transaction, modseq: int) -> None:
    tx.run(_SET.format(modseq))
    tx.announce(7, modseq)


async def test_the_counter_of_an_account_is_known_to_whoever_was_answered(
    db: SQLiteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    await db.write(reach, 1)
    assert db.modseq(7) == 1
    monkeypatch.setattr("mailwright.store.changes.read_modseq", None)  # nor is the database asked

    def work(modseq: int) -> None:
        db.write_now(reach, modseq)
        told = asyncio.run_coroutine_threadsafe(ask(), loop)
        assert told.result() == modseq

    async def ask() -> int | None:
        return db.modseq(7)

    loop = asyncio.get_running_loop()
    for modseq in range(2, 40, 2):
        await db.write(reach, modseq)
        assert db.modseq(7) == modseq
        await asyncio.to_thread(work, modseq + 1)


async def test_another_process_moves_the_counter_of_an_account_and_nobody_waits_for_it(
    db: SQLiteDatabase, tmp_path: Path
) -> None:
    await db.write(reach, 1)
    assert db.modseq(7) == 1
    other = apsw.Connection(str(tmp_path / "mail.sqlite"))
    other.execute(_SET.format(5))
    other.execute("BEGIN IMMEDIATE")
    assert db.modseq(7, exact=True) == 5
    await asyncio.sleep(0.1)
    assert db.modseq(7) == 5
    other.close()
    await db.write(reach, 6)
    assert db.modseq(7) == 6
    await db.close()
    assert db.modseq(7) is None


async def test_the_counter_of_an_account_is_read_while_a_commit_hinders_to_look_for_other_processes(
    db: SQLiteDatabase, tmp_path: Path
) -> None:
    begun, going_on = threading.Event(), threading.Event()

    def wait(tx: Transaction) -> None:
        begun.set()
        going_on.wait(20)

    await db.write(reach, 1)
    assert db.modseq(7) == 1
    other = apsw.Connection(str(tmp_path / "mail.sqlite"))
    other.execute(_SET.format(5))
    waiting = asyncio.ensure_future(db.write(wait))
    await asyncio.to_thread(begun.wait)
    try:
        await asyncio.sleep(0.1)
        assert db.modseq(7) == 5
    finally:
        going_on.set()
    await waiting
    assert db.modseq(7) == 5


async def test_a_long_reader_does_not_stop_the_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a backup is one: the write-ahead log cannot begin anew meanwhile, and no commit may wait for that."""
    monkeypatch.setattr(checkpoints, "_MOST", 4)
    database = SQLiteDatabase(tmp_path / "mail.sqlite", DatabaseBlobs(), busy_timeout=60)
    await database.start()
    reader = apsw.Connection(str(tmp_path / "mail.sqlite"))
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM settings").fetchall()
    async with asyncio.timeout(50):
        for number in range(20):
            await database.write(put, f"n{number}")
    reader.close()
    assert len(await database.read(names)) == 20
    await database.close()


async def write_until_the_log_begins_anew(database: SQLiteDatabase, log: Path, prefix: str) -> int:
    """How many writes there were, one after another."""

    def salt() -> bytes:
        with log.open("rb") as file:
            return file.read(24)[16:]

    before, number = salt(), 0
    async with asyncio.timeout(60):
        while salt() == before:
            await database.write(put, f"{prefix}.{number}")
            number += 1
    return number


@pytest.mark.parametrize("most", [1_000_000, 60], ids=["the thread keeps up", "the writer waits"])
async def test_the_log_begins_anew_while_writes_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Else it would grow for as long as the server is busy."""
    for name, pages in (("_PAGES", 20), ("_FEW", 10 if most > 60 else 0), ("_STEP", 20), ("_MOST", most)):
        monkeypatch.setattr(checkpoints, name, pages)
    database = SQLiteDatabase(tmp_path / "mail.sqlite", DatabaseBlobs())
    await database.start()
    log = tmp_path / "mail.sqlite-wal"
    writes = [await write_until_the_log_begins_anew(database, log, f"n{turn}") for turn in range(10)]
    assert min(writes) < 300, writes  # each of a page or more; there are more where the copying is held up
    assert len(await database.read(names)) == sum(writes)
    await database.close()


async def test_the_log_begins_anew_when_a_long_reader_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, pages in (("_PAGES", 20), ("_FEW", 10), ("_STEP", 20)):
        monkeypatch.setattr(checkpoints, name, pages)
    database = SQLiteDatabase(tmp_path / "mail.sqlite", DatabaseBlobs())
    await database.start()
    reader = apsw.Connection(str(tmp_path / "mail.sqlite"))
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM settings").fetchall()
    for number in range(200):
        await database.write(put, f"n{number}")
    reader.close()
    log = tmp_path / "mail.sqlite-wal"
    writes = [await write_until_the_log_begins_anew(database, log, f"m{turn}") for turn in range(3)]
    assert min(writes[1:]) < 300, writes
    await database.close()
