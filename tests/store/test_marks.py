"""Marks are not to be seen: flags and modseqs are what they would be if each place had its own."""

from __future__ import annotations

import random
from typing import Literal, NamedTuple

import pytest
from support.accounts import prepared

from mailwright.store import arrivals, changes, mailboxes, messages, reading
from mailwright.store.db.api import Database, Transaction
from mailwright.store.flags import MANY, store_flags
from mailwright.store.marks import SWEEP
from mailwright.store.model import Flag
from mailwright.store.sets import unpack

NOW = 1_700_000_000
ACTIONS: list[Literal["set", "add", "remove"]] = ["set", "add", "remove"]
WORDS = ["$Work", "$Home", "$Later"]


class Model(NamedTuple):
    """A place as it must be."""

    flags: int
    words: frozenset[str]
    modseq: int


def changed(place: Model, action: str, flags: int, words: list[str], kept: int) -> tuple[int, frozenset[str]]:
    if action == "set":
        return flags & ~kept | place.flags & kept, frozenset(words)
    if action == "add":
        return place.flags | flags, place.words | set(words)
    return place.flags & ~flags, place.words - set(words)


class Mailbox:
    """A mailbox of the store beside its model."""

    def __init__(self, db: Database, account: int, mailbox: int, rng: random.Random) -> None:
        self.db = db
        self.key = account, mailbox
        self.rng = rng
        self.places: dict[int, Model] = {}

    async def arrive(self) -> None:
        made = [
            arrivals.Arrival(
                prepared(self.db, b"%d" % self.rng.randrange(1000)),
                self.rng.choice([0, 0, 0, 1, 9]),
                self.rng.choice(["", "", "$Work"]),
            )
            for _ in range(self.rng.randint(1, 6))
        ]
        added = await self.db.write(lambda tx: arrivals.add_all(tx, *self.key, made, now=NOW))
        for one, arrival in zip(added, made, strict=True):
            words = frozenset(arrival.keywords.split())
            self.places[one.uid] = Model(arrival.flags, words, one.modseq)

    def some(self) -> list[int]:
        uids = list(self.places)
        if not uids or self.rng.random() < 0.4:
            return uids
        first, last = sorted(self.rng.choices(uids, k=2))
        if self.rng.random() < 0.3:
            return self.rng.sample(uids, self.rng.randint(1, len(uids)))
        return [uid for uid in uids if first <= uid <= last]

    async def store(self) -> None:
        uids, action, kept = self.some(), self.rng.choice(ACTIONS), self.rng.choice([0, 0, 8])
        flags = self.rng.choice([0, 1, 4, 5, 8])
        words = self.rng.sample(WORDS, self.rng.choice([0, 0, 1, 2]))
        modseqs = sorted(place.modseq for place in self.places.values())
        since = self.rng.choice([None, None, self.rng.choice(modseqs or [1])])
        done = await self.db.write(
            store_flags, *self.key, uids, action, flags, words, unchanged_since=since, kept=kept
        )
        asked = [uid for uid in sorted(uids) if since is None or self.places[uid].modseq <= since]
        assert done.refused == [uid for uid in sorted(uids) if uid not in asked]
        assert done.found == len(asked)
        touched = []
        for uid in asked:
            before = self.places[uid]
            after = changed(before, action, flags, words, kept)
            if after != before[:2]:
                assert done.modseq is not None
                self.places[uid] = Model(*after, done.modseq)
                touched.append(uid)
        if not touched:
            assert done.modseq is None
            return
        assert done.modseq is not None
        (logged,) = await self.db.read(changes.read_changes, self.key[0], done.modseq - 1, self.key[1])
        assert list(unpack(logged.uids)) == touched

    async def copy(self, target: Mailbox) -> None:
        uids = self.some()
        if not uids:
            return
        done = await self.db.write(messages.copy, *self.key, uids, target.key[1], now=NOW)
        for source, uid in zip(done.sources, done.uids, strict=True):
            target.places[uid] = self.places[source]._replace(modseq=done.modseq)

    async def move(self, target: Mailbox) -> None:
        uids = self.some()[:10]
        if not uids:
            return
        done = await self.db.write(messages.move, *self.key, uids, target.key[1])
        for source, uid in zip(done.sources, done.uids, strict=True):
            target.places[uid] = self.places.pop(source)._replace(modseq=done.modseq)

    async def expunge(self) -> None:
        for uid in await self.db.write(messages.expunge, *self.key, None, only_deleted=True):
            assert self.places.pop(uid).flags & Flag.DELETED

    async def check(self) -> None:
        found, box = await self.db.read(
            lambda tx: (reading.read_range(tx, *self.key), mailboxes.get_mailbox(tx, *self.key))
        )
        assert {
            place.uid: Model(place.flags, frozenset(place.keywords.split()), place.modseq) for place in found
        } == self.places
        flags = [place.flags for place in self.places.values()]
        assert box.messages == len(flags)
        assert box.unseen == sum(not mask & Flag.SEEN for mask in flags)
        assert box.deleted == sum(bool(mask & Flag.DELETED) for mask in flags)
        highest = max((place.modseq for place in self.places.values()), default=0)
        assert box.modseq >= highest


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("many", [2, 1000])
async def test_changes_in_any_order(
    db: Database, account: int, seed: int, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailwright.store.flags.MANY", many)
    monkeypatch.setattr("mailwright.store.flags.CLOSE", 1)
    monkeypatch.setattr("mailwright.store.flags._FEW", seed % 2 * 8)
    rng = random.Random(seed)
    names = [await db.read(mailboxes.find_mailbox, account, name) for name in ("INBOX", "Archive")]
    inbox, archive = (Mailbox(db, account, box.id, rng) for box in names)
    for _ in range(60):
        one, other = rng.choice([(inbox, archive), (archive, inbox)])
        step = rng.choices(["arrive", "store", "copy", "move", "expunge"], [3, 8, 1, 1, 1])[0]
        if step == "copy":
            await one.copy(other)
        elif step == "move":
            await one.move(other)
        else:
            await getattr(one, step)()
        await one.check()
        await other.check()


async def marks_of(db: Database, key: tuple[int, int]) -> int:
    def count(tx: Transaction) -> int:
        (found,) = tx.one("SELECT count(*) FROM marks WHERE account = ? AND mailbox = ?", *key) or (0,)
        return int(found)

    return await db.read(count)


async def filled(db: Database, account: int, count: int) -> tuple[int, int]:
    key = account, (await db.read(mailboxes.find_mailbox, account, "INBOX")).id
    made = [arrivals.Arrival(prepared(db, b"one"))] * count
    await db.write(lambda tx: arrivals.add_all(tx, *key, made, now=NOW))
    return key


async def test_a_whole_mailbox_is_marked_by_a_change_of_its_marks(db: Database, account: int) -> None:
    key = await filled(db, account, MANY + 10)

    def own(tx: Transaction) -> int:
        (highest,) = tx.one("SELECT max(own_modseq) FROM places WHERE account = ?", account) or (0,)
        return int(highest)

    before = await db.read(own)
    for n in range(20):
        action: Literal["add", "remove"] = "remove" if n % 2 else "add"
        done = await db.write(store_flags, *key, range(1, MANY + 11), action, Flag.SEEN)
        assert done.found == MANY + 10
    assert await db.read(own) == before  # no place was written
    assert await marks_of(db, key) == 2  # that of all places, and that of what comes
    await filled(db, account, 1)
    last = (await db.read(reading.read_range, *key))[-1]
    assert (last.uid, last.flags) == (MANY + 11, 0)


async def test_marks_that_nobody_has_are_swept(db: Database, account: int) -> None:
    key = await filled(db, account, 2)
    for n in range(2 * SWEEP + 5):
        await db.write(store_flags, *key, [1], "set", 0, [f"word{n}"])
        assert await marks_of(db, key) <= SWEEP + 2
    places = await db.read(reading.read_range, *key)
    assert [place.keywords for place in places] == [f"word{2 * SWEEP + 4}", ""]


async def test_marks_go_with_their_mailbox(db: Database, account: int) -> None:
    box = await db.write(mailboxes.create_mailbox, account, "Work")
    await db.write(arrivals.add, account, box.id, prepared(db, b"one"), now=NOW, flags=4)
    assert await marks_of(db, (account, box.id)) == 2
    await db.write(mailboxes.delete_mailbox, account, "Work")
    assert await marks_of(db, (account, box.id)) == 0


async def test_where_each_message_has_keywords_of_its_own(db: Database, account: int) -> None:
    """Marks help nobody then, and their number is bounded by that of the messages."""
    count = MANY + 100
    key = account, (await db.read(mailboxes.find_mailbox, account, "INBOX")).id
    content = prepared(db, b"one")
    long = " ".join([f"{n:02}{'x' * 98}" for n in range(60)])  # longer than an index of PostgreSQL takes
    made = [arrivals.Arrival(content, n % 2, f"{long} word{n}") for n in range(count)]
    await db.write(lambda tx: arrivals.add_all(tx, *key, made, now=NOW))
    assert await marks_of(db, key) == count + 1
    done = await db.write(store_flags, *key, range(1, count + 1), "add", Flag.FLAGGED)
    assert (done.found, len(done.places)) == (count, count)
    places = await db.read(reading.read_range, *key)
    assert [(place.flags, place.keywords) for place in places] == [
        (arrival.flags | Flag.FLAGGED, arrival.keywords) for arrival in made
    ]
    archive = await db.read(mailboxes.find_mailbox, account, "Archive")
    await db.write(messages.move, *key, range(1, count + 1), archive.id)
    moved = await db.read(reading.read_range, account, archive.id)
    assert [place[3:5] for place in moved] == [place[3:5] for place in places]
    await db.write(store_flags, *key, [], "set", 0)
    assert await marks_of(db, (account, archive.id)) == count + 1
