"""What sessions share of an account: it is never older than what any process had committed when we looked for that."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.accounts import new_account, prepared
from support.stores import open_store

from mailwright.imap.commands.select import find_first_unseen
from mailwright.imap.commands.status import read_box
from mailwright.imap.journal import Box, FirstUnseen, Journal
from mailwright.store import arrivals, mailboxes
from mailwright.store.db import sqlite
from mailwright.store.db.api import Transaction
from mailwright.store.flags import store_flags
from mailwright.store.messages import expunge
from mailwright.store.model import Mailbox
from mailwright.store.store import Store


@pytest.fixture
async def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Store, Store]]:
    """One file, opened as by two processes: neither is told of what the other does, and both look each time."""
    monkeypatch.setattr(sqlite, "_LOOK_ASKED", 0.0)
    async with open_store(tmp_path) as ours, open_store(tmp_path) as theirs:
        yield ours, theirs


class Desk:
    """A journal over a store with an account of one message, and the boxes that it knows."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.journal = Journal(store)
        self.account = 0

    async def prepare(self) -> None:
        self.account = await self.store.write(new_account, "ann@example.org")
        await self.add(self.store)

    async def add(self, store: Store, name: str = "INBOX") -> None:
        mailbox = await store.read(mailboxes.find_mailbox, self.account, name)
        message = prepared(store.db, b"a: b\r\n\r\n%d" % mailbox.uidnext)
        await store.write(arrivals.add, self.account, mailbox.id, message, now=1)

    async def read(self, name: str) -> Box:
        """As STATUS does it: from the store, and kept."""
        box = await self.store.read(read_box, self.account, name)
        self.journal.keep(name, box)
        return box

    async def count(self, name: str) -> int | None:
        """What the journal knows of a mailbox's messages."""
        box = await self.journal.box(self.account, name)
        return None if box is None else box.access.mailbox.messages


@pytest.fixture
async def desk(stores: tuple[Store, Store]) -> Desk:
    desk = Desk(stores[0])
    await desk.prepare()
    return desk


async def test_what_was_read_is_known_until_it_changes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await desk.count("INBOX") is None
    await desk.read("INBOX")
    monkeypatch.setattr(desk.store, "read", None)  # nobody asks the store now
    assert await desk.count("INBOX") == 1


@pytest.mark.parametrize("who", [0, 1], ids=["ourselves", "another process"])
async def test_what_anybody_adds_is_counted(desk: Desk, stores: tuple[Store, Store], who: int) -> None:
    await desk.read("INBOX")
    before = await desk.journal.box(desk.account, "INBOX")
    await desk.add(stores[who])
    assert await desk.count("INBOX") == 2
    after = await desk.journal.box(desk.account, "INBOX")
    assert before is not None
    assert after is not None
    assert after.modseq > before.modseq


async def test_flags_are_counted(desk: Desk, stores: tuple[Store, Store]) -> None:
    box = await desk.read("INBOX")
    await stores[1].write(store_flags, desk.account, box.access.mailbox.id, [1], "add", 1)
    now = await desk.journal.box(desk.account, "INBOX")
    assert now is not None
    assert now.access.mailbox.unseen == 0


async def test_a_change_elsewhere_changes_nothing(desk: Desk) -> None:
    await desk.read("INBOX")
    await desk.add(desk.store, "Sent")
    assert await desk.count("INBOX") == 1


async def test_a_name_may_come_to_mean_another_mailbox(desk: Desk, stores: tuple[Store, Store]) -> None:
    await desk.add(desk.store, "Sent")
    await desk.read("Sent")
    await stores[1].write(mailboxes.rename_mailbox, desk.account, "Sent", "Posted")
    await stores[1].write(mailboxes.create_mailbox, desk.account, "Sent")
    assert await desk.count("Sent") is None
    assert (await desk.read("Sent")).access.mailbox.messages == 0


async def test_a_mailbox_that_is_gone_is_not_known(desk: Desk) -> None:
    await desk.read("Junk")
    await desk.store.write(mailboxes.delete_mailbox, desk.account, "Junk")
    assert await desk.count("Junk") is None


async def test_what_was_read_before_a_change_is_not_kept_after_it(desk: Desk) -> None:
    old = await desk.read("INBOX")
    await desk.add(desk.store)
    assert await desk.count("INBOX") == 2
    desk.journal.keep("INBOX", old)
    assert await desk.count("INBOX") == 2


async def test_many_names_are_not_all_kept(desk: Desk) -> None:
    for number in range(60):
        await desk.store.write(mailboxes.create_mailbox, desk.account, f"Box{number}")
    for number in range(60):
        await desk.read(f"Box{number}")
    known = [number for number in range(60) if await desk.count(f"Box{number}") is not None]
    assert known == list(range(10, 60))


def first_unseen(tx: Transaction, account: int, name: str) -> tuple[Mailbox, FirstUnseen | None]:
    mailbox = mailboxes.find_mailbox(tx, account, name)
    return mailbox, find_first_unseen(tx, account, mailbox)


@pytest.mark.parametrize("far", [2000, 8], ids=["among the newest", "perhaps too far back"])
@pytest.mark.parametrize("seed", range(5))
async def test_the_first_unseen_message_is_known_as_long_as_it_is_that(
    desk: Desk, stores: tuple[Store, Store], seed: int, far: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailwright.imap.commands.select._LOOKED_AT", far)
    dice = random.Random(seed)
    kept = 0
    for _ in range(29):
        await desk.add(desk.store)
    mailbox = (await desk.read("INBOX")).access.mailbox.id
    store = stores[1]
    for _ in range(60):
        now, unseen = await store.read(first_unseen, desk.account, "INBOX")
        box = await desk.journal.box(desk.account, "INBOX")
        assert box is not None
        if box.unseen is None:
            desk.journal.keep("INBOX", box._replace(unseen=unseen))
        elif unseen is not None:
            assert box.unseen == unseen
            kept += 1
        uids = dice.sample(range(1, now.uidnext), dice.randint(1, 3))
        match dice.randrange(8):
            case 0:
                await desk.add(store)
            case 1:
                await store.write(expunge, desk.account, mailbox, uids[:1])
            case 2:
                await store.write(store_flags, desk.account, mailbox, range(1, now.uidnext), "add", 1)
                await store.write(store_flags, desk.account, mailbox, uids, "remove", 1)
            case kind:
                await store.write(store_flags, desk.account, mailbox, uids, ("add", "remove")[kind % 2], 1)
    assert kept > (10 if far > 8 else 0)
