"""What every database and every place for blobs must do with messages."""

from __future__ import annotations

import asyncio
import os

import pytest
from support.accounts import new_account, prepared

from mailwright.message.parser import parse_message
from mailwright.message.summary import summarize
from mailwright.store import arrivals, changes, mailboxes, messages, reading
from mailwright.store.db.api import Database, Transaction
from mailwright.store.errors import NoSuchMailbox, NotAllowed, OverQuota
from mailwright.store.flags import store_flags
from mailwright.store.model import ID_BITS, Added, Flag, Kind, Mailbox
from mailwright.store.sets import unpack
from mailwright.store.verify import check_blobs

NOW = 1_700_000_000


async def inbox(db: Database, account: int, name: str = "INBOX") -> Mailbox:
    return await db.read(mailboxes.find_mailbox, account, name)


async def add(
    db: Database, account: int, content: bytes, *ids: str, to: str = "INBOX", flags: int = 0
) -> Added:
    box = await inbox(db, account, to)
    message = await asyncio.to_thread(prepared, db, content, *ids)
    return await db.write(arrivals.add, account, box.id, message, now=NOW, flags=flags)


def content_of(tx: Transaction, message: int) -> bytes:
    row = reading.read_message(tx, message, "blob")
    assert row is not None
    return tx.blobs.read_whole(tx, row[0])


def count(tx: Transaction, table: str) -> int:
    row = tx.one(f"SELECT count(*) FROM {table}")
    assert row is not None
    return int(row[0])


async def test_what_is_read_is_what_was_accepted(db: Database, account: int) -> None:
    contents = [b"", b"a", b"Subject: \xe4\xbd\xa0\xe5\xa5\xbd\r\n\r\nnul \x00 here\r\n", os.urandom(100_000)]
    for content in contents:
        added = await add(db, account, content)
        assert await db.read(content_of, added.message) == content


async def test_octets_0_in_a_header_are_kept(db: Database, account: int) -> None:
    content = b"".join(
        b"%s: <a\0b@c>\r\n" % name for name in (b"From", b"To", b"Cc", b"Subject", b"Message-ID")
    )
    blob = await asyncio.to_thread(db.blobs.prepare, (content,), len(content), db.write_now)
    message = arrivals.PreparedMessage(blob, summarize(parse_message(content)))
    added = await db.write(arrivals.add, account, (await inbox(db, account)).id, message, now=NOW)
    assert await db.read(content_of, added.message) == content


async def test_uids_rise_and_counts_follow(db: Database, account: int) -> None:
    first = await add(db, account, b"one")
    second = await add(db, account, b"two!", flags=Flag.SEEN | Flag.DELETED)
    assert (first.uid, second.uid) == (1, 2)
    assert second.modseq > first.modseq
    box = await inbox(db, account)
    assert (box.uidnext, box.messages, box.unseen, box.deleted, box.bytes) == (3, 2, 1, 1, 7)
    assert box.modseq == second.modseq
    assert box.uidvalidity == first.uidvalidity


async def test_a_uid_is_never_given_twice(db: Database, account: int) -> None:
    box = await inbox(db, account)
    await add(db, account, b"one")
    assert await db.write(messages.expunge, account, box.id, [1]) == [1]
    assert (await add(db, account, b"two")).uid == 2


async def test_the_same_content_is_kept_once_and_goes_with_its_last_message(
    db: Database, account: int
) -> None:
    box = await inbox(db, account)
    for _ in range(3):
        await add(db, account, b"the same")
    assert await db.read(count, "blobs") == 1
    await db.write(messages.expunge, account, box.id, [1, 2])
    row = (await db.read(reading.read_places, account, box.id, [3]))[0]
    assert await db.read(content_of, row.message) == b"the same"
    await db.write(messages.expunge, account, box.id, None)
    await db.write(db.blobs.sweep, NOW)
    assert await db.read(count, "blobs") == 0
    assert await db.read(count, "chunks") == 0
    assert await db.read(count, "messages") == 0


async def test_content_that_was_removed_can_come_back(db: Database, account: int) -> None:
    box = await inbox(db, account)
    await add(db, account, b"again")
    await db.write(messages.expunge, account, box.id, None)
    added = await add(db, account, b"again")
    assert await db.read(content_of, added.message) == b"again"


async def test_a_copy_has_flags_of_its_own_and_shares_the_message(db: Database, account: int) -> None:
    box, archive = await inbox(db, account), await inbox(db, account, "Archive")
    added = await add(db, account, b"one", flags=Flag.FLAGGED)
    copied = await db.write(messages.copy, account, box.id, [1, 7], archive.id, now=NOW)
    assert (copied.sources, copied.uids) == ([1], [1])
    await db.write(store_flags, account, archive.id, [1], "set", Flag.SEEN, ["$Forwarded"])
    (original,) = await db.read(reading.read_range, account, box.id)
    (copy,) = await db.read(reading.read_range, account, archive.id)
    assert original.message == copy.message == added.message
    assert (original.flags, original.keywords) == (Flag.FLAGGED, "")
    assert (copy.flags, copy.keywords) == (Flag.SEEN, "$Forwarded")
    await db.write(messages.expunge, account, box.id, None)
    assert await db.read(content_of, copy.message) == b"one"


async def test_a_move_is_one_change(db: Database, account: int) -> None:
    box, trash = await inbox(db, account), await inbox(db, account, "Trash")
    for content in (b"one", b"two", b"three"):
        await add(db, account, content)
    before = (await inbox(db, account)).modseq
    moved = await db.write(messages.move, account, box.id, [1, 3], trash.id, now=NOW)
    assert (moved.sources, moved.uids) == ([1, 3], [1, 2])
    log = await db.read(changes.read_changes, account, before)
    assert {(change.mailbox, change.kind, change.uids) for change in log} == {
        (trash.id, Kind.ARRIVED, "1:2"),
        (box.id, Kind.EXPUNGED, "1,3"),
    }
    assert {change.modseq for change in log} == {moved.modseq}
    assert [place.uid for place in await db.read(reading.read_range, account, box.id)] == [2]
    box, trash = await inbox(db, account), await inbox(db, account, "Trash")
    assert (box.messages, box.bytes, trash.messages, trash.bytes) == (1, 3, 2, 8)


@pytest.mark.parametrize(
    ("action", "flags", "keywords", "expected"),
    [
        ("set", Flag.SEEN, ["b"], (Flag.SEEN, "b")),
        ("add", Flag.SEEN, ["b", "a"], (Flag.SEEN | Flag.DRAFT, "a b old")),
        ("remove", Flag.DRAFT, ["old"], (0, "")),
    ],
)
async def test_flags(
    db: Database, account: int, action: str, flags: int, keywords: list[str], expected: tuple[int, str]
) -> None:
    box = await inbox(db, account)
    message = prepared(db, b"x")
    await db.write(arrivals.add, account, box.id, message, now=NOW, flags=Flag.DRAFT, keywords="old")
    changed = await db.write(store_flags, account, box.id, [1], action, flags, keywords)  # type: ignore[arg-type]
    (place,) = await db.read(reading.read_range, account, box.id)
    assert (place.flags, place.keywords) == expected
    assert changed.modseq == place.modseq == (await inbox(db, account)).modseq
    assert changed.places == [place]


async def test_a_store_that_changes_nothing_has_no_modseq(db: Database, account: int) -> None:
    box = await inbox(db, account)
    added = await add(db, account, b"x", flags=Flag.SEEN)
    changed = await db.write(store_flags, account, box.id, [1], "add", Flag.SEEN)
    assert changed.modseq is None
    assert (await inbox(db, account)).modseq == added.modseq


async def test_unchanged_since_refuses_what_changed(db: Database, account: int) -> None:
    box = await inbox(db, account)
    await add(db, account, b"x")
    second = await add(db, account, b"y")
    await db.write(store_flags, account, box.id, [1], "add", Flag.SEEN)
    changed = await db.write(
        store_flags, account, box.id, [1, 2], "add", Flag.FLAGGED, unchanged_since=second.modseq
    )
    assert changed.refused == [1]
    assert [place.uid for place in changed.places] == [2]


async def test_the_log_tells_a_reader_all_that_happened(db: Database, account: int) -> None:
    start = await db.read(changes.read_modseq, account)
    box = await inbox(db, account)
    for _ in range(3):
        await add(db, account, b"x")
    await db.write(store_flags, account, box.id, [1, 2], "add", Flag.DELETED)
    await db.write(messages.expunge, account, box.id, None, only_deleted=True)
    log = await db.read(changes.read_changes, account, start, box.id)
    assert [(change.kind, list(unpack(change.uids))) for change in log] == [
        (Kind.ARRIVED, [1]),
        (Kind.ARRIVED, [2]),
        (Kind.ARRIVED, [3]),
        (Kind.FLAGS, [1, 2]),
        (Kind.EXPUNGED, [1, 2]),
    ]
    assert log == sorted(log)


async def test_messages_that_name_each_other_share_a_thread(db: Database, account: int) -> None:
    first = await add(db, account, b"1", "a@x")
    answer = await add(db, account, b"2", "b@x", "a@x")
    other = await add(db, account, b"3", "c@x")
    late = await add(db, account, b"4", "d@x", "b@x")

    def thread(tx: Transaction, message: int) -> int:
        row = reading.read_message(tx, message, "thread")
        assert row is not None
        return int(row[0])

    threads = [await db.read(thread, added.message) for added in (first, answer, other, late)]
    assert threads == [first.message, first.message, other.message, first.message]


async def test_a_full_account_refuses_and_nothing_stays(db: Database, account: int) -> None:
    await db.write(lambda tx: tx.run("UPDATE account_state SET quota_bytes = 10 WHERE account = ?", account))
    await add(db, account, b"0123456789")
    before = await db.read(changes.read_modseq, account)
    with pytest.raises(OverQuota, match="no room"):
        await add(db, account, b"x")
    assert await db.read(changes.read_modseq, account) == before
    assert (await inbox(db, account)).messages == 1
    box = await inbox(db, account)
    await db.write(messages.expunge, account, box.id, None)
    await add(db, account, b"0123456789")


async def test_a_mailbox_that_is_gone_takes_nothing(db: Database, account: int) -> None:
    box = await inbox(db, account, "Archive")
    await db.write(mailboxes.delete_mailbox, account, "Archive")
    with pytest.raises(NoSuchMailbox):
        await db.write(arrivals.add, account, box.id, prepared(db, b"x"), now=NOW)
    assert await db.read(count, "messages") == 0


async def test_too_many_keywords_are_refused(db: Database, account: int) -> None:
    box = await inbox(db, account)
    await add(db, account, b"x")
    with pytest.raises(NotAllowed, match="100 keywords"):
        await db.write(store_flags, account, box.id, [1], "add", 0, [f"k{number}" for number in range(101)])


async def test_one_account_never_sees_another(db: Database, account: int) -> None:
    other = await db.write(new_account, "other@example.net")
    await add(db, account, b"secret")
    box = await inbox(db, other)
    assert await db.read(reading.read_range, other, box.id) == []
    assert await db.read(changes.read_changes, other, 0, box.id) != []
    assert box.messages == 0


async def test_large_content_comes_back_whole_and_in_parts(db: Database, account: int) -> None:
    content = os.urandom(600_000) + b"x" * 300_000
    added = await add(db, account, content)

    def read_parts(tx: Transaction) -> None:
        row = reading.read_message(tx, added.message, "blob")
        assert row is not None
        assert b"".join(tx.blobs.read(tx, row[0])) == content
        for start, stop in ((0, 1), (262_143, 262_145), (262_144, 524_288), (899_999, 900_000), (5, 5)):
            assert b"".join(tx.blobs.read(tx, row[0], start, stop)) == content[start:stop]

    await db.read(read_parts)
    again = await add(db, account, content)
    assert again.message != added.message
    assert await db.read(count, "blobs WHERE refs > 0") == 1


@pytest.mark.parametrize("size", [100, 600_000])
async def test_what_came_with_a_trace_of_its_own_is_kept_alone(db: Database, account: int, size: int) -> None:
    """In its several mailboxes it is one content all the same; what comes later without a trace is shared."""
    content = os.urandom(size)
    box = await inbox(db, account)
    other = await db.write(new_account, f"of{account}@example.net")
    message = await asyncio.to_thread(prepared, db, content)

    def deliver(tx: Transaction) -> list[Added]:
        inboxes = arrivals.read_inboxes(tx, [other, account])
        targets = [arrivals.Target(inboxes[one], [arrivals.Arrival(message)]) for one in (account, other)]
        return arrivals.add_to_each(tx, targets, now=1, alone=True)

    added = await db.write(deliver)
    assert [one.message >> ID_BITS for one in added] == [account, other]
    assert await db.read(lambda tx: tx.all("SELECT refs FROM blobs WHERE refs > 0")) == [(2,)]
    for _ in range(2):
        assert await db.read(content_of, (await add(db, account, content)).message) == content
    assert await db.read(lambda tx: tx.all("SELECT refs FROM blobs WHERE refs > 0")) == [(2,), (2,)]
    assert await db.read(check_blobs, 10) == []
    for one, mailbox in ((account, box), (other, await inbox(db, other))):
        await db.write(messages.expunge, one, mailbox.id, None)
    assert await db.read(count, "blobs WHERE refs > 0") == 0


@pytest.mark.parametrize("size", [30, 3_000, 30_000])
async def test_what_was_to_be_gone_in_a_moment_and_stays_is_compressed(db: Database, size: int) -> None:
    content = (b"All work and no play makes Jack a dull boy.\r\n" * 1000)[:size]

    def stored(tx: Transaction) -> int:
        rows = tx.all("SELECT COALESCE(length(data), 0) FROM blobs") + tx.all(
            "SELECT length(data) FROM chunks"
        )
        return sum(length for (length,) in rows)

    def run(tx: Transaction) -> None:
        blob = tx.blobs.prepare((content,), size, pytest.fail)._replace(brief=True)
        number = tx.blobs.keep(tx, blob, NOW)
        before = stored(tx)
        assert tx.blobs.read_whole(tx, number) == content
        for _ in range(2):
            tx.blobs.settle(tx, (number,))
            assert tx.blobs.read_whole(tx, number) == content
        assert stored(tx) < before or size == 30 or not before, "files are compressed at once"
        tx.blobs.release(tx, number)
        assert stored(tx) == 0

    await db.write(run)
