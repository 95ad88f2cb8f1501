"""What several writers do to one account at once leaves what they would have left one after the other."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Literal

import psycopg
import pytest
from support.accounts import new_account, prepared
from support.meetings import Held, meet, processes, waits

from mailwright.directory import accounts
from mailwright.store import acl, arrivals, mailboxes, messages, metadata, reading, transfer
from mailwright.store.db.api import Database, Row, Transaction
from mailwright.store.errors import AlreadyExists, NoSuchMailbox
from mailwright.store.flags import store_flags
from mailwright.store.model import Flag, Mailbox

NOW = 1_700_000_000
COUNT = 8
UIDS = list(range(1, COUNT + 1))
MASKS = [Flag.SEEN, Flag.ANSWERED, Flag.FLAGGED, Flag.DELETED, Flag.DRAFT]
TIMES = range(10)  # a race is not lost each time


async def filled(db: Database, account: int, name: str) -> Mailbox:
    box = await db.write(mailboxes.create_mailbox, account, name)
    for n in UIDS:
        await db.write(arrivals.add, account, box.id, prepared(db, b"%d" % n), now=NOW)
    return box


async def check(db: Database, account: int, mailbox: int) -> None:
    places = await db.read(reading.read_range, account, mailbox)
    box = await db.read(mailboxes.get_mailbox, account, mailbox)
    assert box.messages == len(places)
    assert box.unseen == sum(not place.flags & Flag.SEEN for place in places)
    assert box.deleted == sum(bool(place.flags & Flag.DELETED) for place in places)


async def test_no_flag_is_lost(db: Database, account: int) -> None:
    box = await filled(db, account, "Work")
    for n in TIMES:
        action: Literal["add", "remove"] = "remove" if n % 2 else "add"
        await asyncio.gather(
            *[db.write(store_flags, account, box.id, UIDS, action, mask) for mask in MASKS],
            *[db.write(store_flags, account, box.id, UIDS, action, 0, [f"word{m}"]) for m in range(3)],
        )
        wanted = (0, "") if n % 2 else (31, "word0 word1 word2")
        places = await db.read(reading.read_range, account, box.id)
        assert {(place.flags, place.keywords) for place in places} == {wanted}
        await check(db, account, box.id)


async def test_of_those_who_store_unless_changed_one_does(db: Database, account: int) -> None:
    box = await filled(db, account, "Work")
    for n in TIMES:
        since = (await db.read(mailboxes.get_mailbox, account, box.id)).modseq
        done = await asyncio.gather(
            *[
                db.write(
                    store_flags, account, box.id, UIDS, "set", 0, [f"word{n}.{m}"], unchanged_since=since
                )
                for m in range(6)
            ]
        )
        assert sorted(len(one.refused) for one in done) == [0] + [COUNT] * 5


@pytest.mark.parametrize("goes", ["move", "expunge"])
async def test_a_message_goes_once(db: Database, account: int, goes: str) -> None:
    target = await db.write(mailboxes.create_mailbox, account, "Old")
    for n in TIMES:
        box = await filled(db, account, f"Work{n}")
        if goes == "move":
            work = [db.write(messages.move, account, box.id, UIDS, target.id) for _ in range(6)]
            moved = await asyncio.gather(*work)
            assert sorted(len(one.uids) for one in moved) == [0] * 5 + [COUNT]
        else:
            gone = await asyncio.gather(
                *[db.write(messages.expunge, account, box.id, UIDS) for _ in range(6)]
            )
            assert sorted(map(len, gone)) == [0] * 5 + [COUNT]
        await check(db, account, box.id)
        await check(db, account, target.id)


async def test_a_mailbox_is_made_once(db: Database, account: int) -> None:
    for n in TIMES:
        work = [db.write(mailboxes.create_mailbox, account, f"a{n}/b/c{m % 2}") for m in range(8)]
        done = await asyncio.gather(*work, return_exceptions=True)
        assert sum(isinstance(one, Mailbox) for one in done) == 2
        assert sum(isinstance(one, AlreadyExists) for one in done) == 6


async def test_what_goes_with_its_mailbox_is_counted_once(db: Database, account: int) -> None:
    for n in TIMES:
        box = await filled(db, account, f"Work{n}")
        await asyncio.gather(
            db.write(messages.expunge, account, box.id, UIDS),
            db.write(mailboxes.delete_mailbox, account, f"Work{n}"),
            db.write(messages.expunge, account, box.id, UIDS[:4]),
        )

    def left(tx: Transaction) -> tuple[int, ...]:
        return tuple(tx.one("SELECT bytes, messages FROM account_state WHERE account = ?", account) or ())

    assert await db.read(left) == (0, 0)


async def test_no_right_is_lost(db: Database, account: int) -> None:
    box = await filled(db, account, "Work")
    for n in TIMES:
        mode = "-" if n % 2 else "+"
        await asyncio.gather(
            *[db.write(acl.set_rights, account, box.id, acl.ANYONE, mode, right) for right in "lrswi"]
        )
        _, grants = await db.read(acl.read_acl, account, "Work")
        found = {grant.identifier: grant.rights for grant in grants}
        assert set(found.get(acl.ANYONE, "")) == set("" if n % 2 else "lrswi")


async def test_an_annotation_is_set_by_one_after_the_other(db: Database, account: int) -> None:
    await filled(db, account, "Work")
    for n in TIMES:
        value = b"%d" % n
        one = [metadata.Annotation(f"/shared/comment{n}", value)]
        await asyncio.gather(*[db.write(metadata.write, account, "Work", one) for _ in range(6)])
        found = await db.read(metadata.read, account, "Work", [f"/shared/comment{n}"])
        assert found.found == one


def rows_of(tx: Transaction, account: int) -> int:
    tables = ("account_state", "mailboxes", "marks", "changes")
    rows = [tx.one(f"SELECT count(*) FROM {table} WHERE account = ?", account) for table in tables]
    return sum(int(row[0]) for row in rows if row is not None)


async def test_nothing_is_left_of_an_account(db: Database, account: int) -> None:
    for n in TIMES:
        address = f"gone{n}-{account}@example.org"
        other = await db.write(new_account, address)
        await asyncio.gather(
            db.write(accounts.remove_account, address),
            *[db.write(mailboxes.create_mailbox, other, f"Work{m}") for m in range(4)],
            return_exceptions=True,
        )
        assert await db.read(rows_of, other) == 0


class Owner:
    """One of several accounts, into whose INBOX the others may copy."""

    def __init__(self, account: int, address: str, box: int) -> None:
        self.account = account
        self.address = address
        self.box = box

    async def act(self, db: Database, rng: random.Random, others: list[Owner], bodies: list[bytes]) -> None:
        places = await db.read(reading.read_range, self.account, self.box)
        some = [place.uid for place in places if rng.random() < 0.5]
        kind = rng.choice(["add", "expunge", "copy", "move"]) if some else "add"
        if kind == "add":
            content = await asyncio.to_thread(prepared, db, rng.choice(bodies))
            await db.write(arrivals.add, self.account, self.box, content, now=NOW)
        elif kind == "expunge":
            await db.write(messages.expunge, self.account, self.box, some)
        else:
            other = rng.choice(others)
            name = "INBOX" if other is self else f"Other Users/{other.address}/INBOX"
            target = await db.read(acl.resolve, self.account, name)
            put = transfer.copy if kind == "copy" else transfer.move
            await db.write(put, self.account, self.box, some, target, now=NOW)


async def new_owner(db: Database, address: str) -> Owner:
    account = await db.write(new_account, address)
    box = await db.read(mailboxes.find_mailbox, account, "INBOX")
    await db.write(acl.set_rights, account, box.id, acl.ANYONE, "", "lrswite")
    return Owner(account, address, box.id)


def find_strays(tx: Transaction) -> list[tuple[str, list[Row]]]:
    """What is counted wrongly, or belongs to nothing."""
    queries = (
        "SELECT id, refs FROM blobs b WHERE refs <> (SELECT count(*) FROM messages WHERE blob = b.id)",
        "SELECT id FROM messages m WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE id = m.blob)",
        "SELECT id FROM messages m WHERE NOT EXISTS (SELECT 1 FROM places WHERE message = m.id)",
        "SELECT uid FROM places p WHERE NOT EXISTS (SELECT 1 FROM messages WHERE id = p.message)",
        "SELECT uid FROM places p WHERE NOT EXISTS (SELECT 1 FROM marks WHERE id = p.mark AND mailbox = p.mailbox)",
    )
    return [(sql, rows) for sql in queries if (rows := tx.all(sql))]


@pytest.mark.parametrize("seed", range(2))
async def test_mail_goes_to_and_fro_between_accounts(db: Database, seed: int) -> None:
    rng = random.Random(seed)
    owners = [await new_owner(db, f"owner{n}@example.org") for n in range(5)]
    bodies = [
        b"Subject: %d\r\n\r\n" % n + rng.randbytes(size).hex().encode()
        for n, size in enumerate([5, 1500, 45_000])
    ]

    async def act(owner: Owner) -> None:
        for _ in range(12):
            await owner.act(db, rng, owners, bodies)

    await asyncio.gather(*[act(owner) for owner in owners for _ in range(3)])
    assert await db.read(find_strays) == []
    for owner in owners:
        await check(db, owner.account, owner.box)


@pytest.mark.parametrize(
    "change",
    [
        lambda tx, account: acl.set_acl(tx, account, "Work", "anyone", "", "lr"),
        lambda tx, account: metadata.write(
            tx, account, "Work", [metadata.Annotation("/shared/comment", b"x")]
        ),
    ],
)
async def test_a_mailbox_that_is_deleted_just_then_gets_nothing_more(
    postgres_database: str, change: Callable[[Transaction, int], object]
) -> None:
    async with processes(postgres_database) as (one, other):
        account = await one.write(new_account, "alice@example.org")
        await one.write(mailboxes.create_mailbox, account, "Work")
        held = Held(mailboxes.delete_mailbox)
        with pytest.raises(NoSuchMailbox):
            await meet(held, one.write(held, account, "Work"), other.write(change, account))


async def test_who_subscribes_waits_in_no_circle_with_who_creates(postgres_database: str) -> None:
    async with (
        processes(postgres_database) as (db, _),
        await psycopg.AsyncConnection.connect(postgres_database) as creator,
    ):
        account = await db.write(new_account, "alice@example.org")
        await creator.execute("SET lock_timeout = '500ms'")
        await creator.execute("SELECT 1 FROM account_state FOR UPDATE")
        subscribing = asyncio.create_task(db.write(mailboxes.subscribe, account, "Work", True))
        await waits(creator)
        await creator.execute("INSERT INTO subscriptions (account, name) VALUES (%s, 'Work')", (account,))
        await creator.commit()
        await subscribing
