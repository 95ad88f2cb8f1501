"""Changes to many places at once leave what the same changes one by one would."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

import pytest
from support.accounts import prepared

from mailwright.store import arrivals, changes, mailboxes, messages, reading
from mailwright.store.db.api import Database, Transaction
from mailwright.store.flags import MANY, store_flags
from mailwright.store.model import Flag, Place
from mailwright.store.sets import unpack

NOW = 1_700_000_000
COUNT = 60


def fill(tx: Transaction, account: int, mailbox: int, contents: list[arrivals.PreparedMessage]) -> None:
    rng = random.Random(7)
    for content in contents:
        flags, keywords = rng.choice([0, 1, 8, 9]), rng.choice(["", "$Work", "$Home $Work"])
        arrivals.add(tx, account, mailbox, content, now=NOW, flags=flags, keywords=keywords)


async def filled(db: Database, account: int) -> list[Place]:
    """Sixty messages of twenty contents, with gaps between them."""
    box = await db.read(mailboxes.find_mailbox, account, "INBOX")
    await db.write(fill, account, box.id, [prepared(db, b"content %d" % (n % 20)) for n in range(COUNT)])
    await db.write(messages.expunge, account, box.id, list(range(3, COUNT, 7)))
    return await db.read(reading.read_range, account, box.id)


async def check_counts(db: Database, account: int, name: str) -> list[Place]:
    box = await db.read(mailboxes.find_mailbox, account, name)
    places = await db.read(reading.read_range, account, box.id)
    assert box.messages == len(places)
    assert box.unseen == sum(1 for place in places if not place.flags & Flag.SEEN)
    assert box.deleted == sum(1 for place in places if place.flags & Flag.DELETED)
    return places


@pytest.mark.parametrize("many", [2, 1000])
@pytest.mark.parametrize("uids", [range(1, COUNT + 1), range(1, COUNT, 2), (5, 6, 40)])
@pytest.mark.parametrize("action", ["set", "add", "remove"])
async def test_flags_of_many(
    db: Database,
    account: int,
    uids: Sequence[int],
    action: Literal["set", "add", "remove"],
    many: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mailwright.store.flags.MANY", many)
    monkeypatch.setattr("mailwright.store.flags.CLOSE", 1)
    before = await filled(db, account)
    box = await db.read(mailboxes.find_mailbox, account, "INBOX")
    changed = await db.write(
        store_flags, account, box.id, list(uids), action, Flag.SEEN | Flag.DRAFT, ["$work"]
    )
    after = {place.uid: place for place in await check_counts(db, account, "INBOX")}
    asked = [place for place in before if place.uid in uids]
    assert changed.found == len(asked)
    touched: list[Place] = []
    for place in before:
        flags, words = place.flags, set(place.keywords.split())
        if place.uid in uids:
            given = words & {"$Work"} or {"$work"}
            if action == "set":
                flags, words = 17, given
            elif action == "add":
                flags, words = flags | 17, words | given
            else:
                flags, words = flags & ~17, words - {"$Work"}
        now = after[place.uid]
        assert (now.flags, now.keywords) == (flags, " ".join(sorted(words)))
        assert (now.modseq == changed.modseq) == ((flags, now.keywords) != (place.flags, place.keywords))
        touched += [now] if now.modseq == changed.modseq else []
    assert changed.places == ([after[place.uid] for place in asked] if len(uids) <= many else [])
    assert changed.modseq is not None
    (logged,) = await db.read(changes.read_changes, account, changed.modseq - 1, box.id)
    assert list(unpack(logged.uids)) == [place.uid for place in touched]
    assert logged.messages == ""


async def test_many_changed_meanwhile_are_refused(db: Database, account: int) -> None:
    box = await db.read(mailboxes.find_mailbox, account, "INBOX")
    count = MANY + 20
    await db.write(fill, account, box.id, [prepared(db, b"one")] * count)
    newer = await db.write(store_flags, account, box.id, [7, 8], "add", Flag.FLAGGED)
    assert newer.modseq is not None
    every = list(range(1, count + 6))
    changed = await db.write(
        store_flags, account, box.id, every, "add", Flag.DRAFT, unchanged_since=newer.modseq - 1
    )
    assert (changed.refused, changed.found) == ([7, 8], count - 2)
    places = await check_counts(db, account, "INBOX")
    assert [place.uid for place in places if not place.flags & Flag.DRAFT] == [7, 8]
    again = await db.write(store_flags, account, box.id, every[8:], "add", Flag.DRAFT)
    assert (again.modseq, again.found) == (None, count - 8)


async def test_copies_and_moves_of_many_keep_their_order(db: Database, account: int) -> None:
    before = await filled(db, account)
    box = await db.read(mailboxes.find_mailbox, account, "INBOX")
    archive = await db.read(mailboxes.find_mailbox, account, "Archive")
    every = [place.uid for place in before]
    copied = await db.write(messages.copy, account, box.id, every, archive.id, now=NOW + 5)
    assert (copied.sources, copied.uids) == (every, list(range(1, len(every) + 1)))
    again = await db.write(messages.copy, account, box.id, every[::2], box.id, now=NOW + 5)
    moved = await db.write(messages.move, account, box.id, every[1::3], archive.id)
    here, there = await check_counts(db, account, "INBOX"), await check_counts(db, account, "Archive")
    message = {
        place.uid: (place.message, place.flags, place.keywords, place.internal_date) for place in before
    }
    sources = dict(zip(copied.uids + moved.uids, copied.sources + moved.sources, strict=True))
    assert [place[1:2] + place[3:6] for place in there] == [message[sources[place.uid]] for place in there]
    assert {place.saved_at for place in there} == {NOW, NOW + 5}
    assert [place.uid for place in here] == [uid for uid in every if uid not in moved.sources] + again.uids


async def test_what_many_messages_share_goes_with_the_last(db: Database, account: int) -> None:
    before = await filled(db, account)
    box = await db.read(mailboxes.find_mailbox, account, "INBOX")
    await db.write(messages.expunge, account, box.id, [place.uid for place in before[:-1]])

    def left(tx: Transaction) -> list[int]:
        rows = [tx.one(f"SELECT count(*) FROM {name}") for name in ("messages", "blobs WHERE refs > 0")]
        rows.append(tx.one("SELECT coalesce(sum(refs), 0) FROM blobs"))
        rows.append(tx.one("SELECT messages FROM account_state WHERE account = ?", account))
        return [int(row[0]) for row in rows if row is not None]

    found = await db.read(left)
    assert found == [1, 1, 1, 1]
    await db.write(messages.expunge, account, box.id, None)
    found = await db.read(left)
    assert found[0] == found[1] == found[3] == 0
    assert (await db.read(mailboxes.find_mailbox, account, "INBOX")).bytes == 0
