"""What every database must do with mailboxes."""

from __future__ import annotations

import pytest
from support.accounts import prepared

from mailwright.store import arrivals, mailboxes
from mailwright.store.db.api import Database, Transaction
from mailwright.store.errors import AlreadyExists, NoSuchMailbox, NotAllowed
from mailwright.store.mailboxes import InvalidName, normal_name
from mailwright.store.model import MAX_MAILBOXES, MAX_SUBSCRIPTIONS


async def names(db: Database, account: int) -> list[str]:
    return [box.name for box in await db.read(mailboxes.list_mailboxes, account)]


async def test_a_new_account_has_the_usual_mailboxes(db: Database, account: int) -> None:
    boxes = await db.read(mailboxes.list_mailboxes, account)
    assert {(box.name, box.role) for box in boxes} == set(mailboxes.DEFAULTS)
    assert all(box.uidnext == 1 and box.messages == 0 for box in boxes)
    assert await db.read(mailboxes.list_subscriptions, account) == [box.name for box in boxes]
    assert len({box.uidvalidity for box in boxes}) == len(boxes)


async def test_missing_levels_are_made(db: Database, account: int) -> None:
    await db.write(mailboxes.create_mailbox, account, "工作/2026/十一月")
    assert {"工作", "工作/2026", "工作/2026/十一月"} <= set(await names(db, account))


async def test_inbox_has_one_spelling(db: Database, account: int) -> None:
    assert (await db.read(mailboxes.find_mailbox, account, "iNbOx")).name == "INBOX"
    with pytest.raises(AlreadyExists):
        await db.write(mailboxes.create_mailbox, account, "inbox")
    await db.write(mailboxes.create_mailbox, account, "inbox/Lists")
    assert "INBOX/Lists" in await names(db, account)


async def test_a_mailbox_made_again_has_a_greater_uidvalidity(db: Database, account: int) -> None:
    first = await db.write(mailboxes.create_mailbox, account, "Again")
    await db.write(mailboxes.delete_mailbox, account, "Again")
    second = await db.write(mailboxes.create_mailbox, account, "Again")
    assert second.uidvalidity > first.uidvalidity


async def test_deleting_leaves_what_is_below(db: Database, account: int) -> None:
    await db.write(mailboxes.create_mailbox, account, "a/b")
    await db.write(mailboxes.delete_mailbox, account, "a")
    assert {"a/b"} == {name for name in await names(db, account) if name.startswith("a")}
    with pytest.raises(NoSuchMailbox):
        await db.write(mailboxes.delete_mailbox, account, "a")
    with pytest.raises(NotAllowed):
        await db.write(mailboxes.delete_mailbox, account, "INBOX")


async def test_renaming_takes_what_is_below_along(db: Database, account: int) -> None:
    for name in ("a", "a/b", "a/b/c", "ab"):
        await db.write(mailboxes.create_mailbox, account, name)
    await db.write(mailboxes.rename_mailbox, account, "a", "x/y")
    assert {"ab", "x", "x/y", "x/y/b", "x/y/b/c"} <= set(await names(db, account))
    assert not {"a", "a/b"} & set(await names(db, account))
    with pytest.raises(NotAllowed):
        await db.write(mailboxes.rename_mailbox, account, "x/y", "x/y/z")
    with pytest.raises(AlreadyExists):
        await db.write(mailboxes.rename_mailbox, account, "x/y", "ab")


async def test_renaming_inbox_moves_its_messages(db: Database, account: int) -> None:
    box = await db.read(mailboxes.find_mailbox, account, "INBOX")
    await db.write(arrivals.add, account, box.id, prepared(db, b"x"), now=1)
    await db.write(mailboxes.rename_mailbox, account, "INBOX", "old mail")
    moved = await db.read(mailboxes.find_mailbox, account, "old mail")
    box = await db.read(mailboxes.find_mailbox, account, "INBOX")
    assert (moved.messages, box.messages) == (1, 0)


async def test_a_name_without_a_mailbox_can_be_subscribed(db: Database, account: int) -> None:
    await db.write(mailboxes.subscribe, account, "later", True)
    assert "later" in await db.read(mailboxes.list_subscriptions, account)
    await db.write(mailboxes.subscribe, account, "later", False)
    assert "later" not in await db.read(mailboxes.list_subscriptions, account)


async def test_a_special_use_belongs_to_one_mailbox(db: Database, account: int) -> None:
    with pytest.raises(NotAllowed, match="sent"):
        await db.write(mailboxes.create_mailbox, account, "My Sent", role="sent")


@pytest.mark.parametrize(
    "name", ["", "/", "a//b", "a\x00b", "a\r\nb", "/a", "x" * 1001, "/".join("x" * 33), "\ud800"]
)
def test_bad_names(name: str) -> None:
    with pytest.raises(InvalidName):
        normal_name(name)


def test_names_are_normal_form_c() -> None:
    assert normal_name("e\u0301te\u0301/") == "\u00e9t\u00e9"


COUNTED = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"


def fill(tx: Transaction, account: int) -> None:
    """Leave room for one mailbox more."""
    there = len(mailboxes.list_mailboxes(tx, account))
    tx.run(
        "INSERT INTO mailboxes (account, id, name, uidvalidity, uidnext, modseq)"
        f" {COUNTED} SELECT a.id, 1000 + i, 'm' || i, 1000 + i, 1, 1 FROM n, accounts a"
        f" WHERE a.id = ? AND i < {MAX_MAILBOXES - there}",
        account,
    )


async def test_renaming_makes_no_more_levels_than_there_may_be_mailboxes(db: Database, account: int) -> None:
    await db.write(fill, account)
    await db.write(mailboxes.rename_mailbox, account, "m1", "above/m1")
    with pytest.raises(NotAllowed):
        await db.write(mailboxes.rename_mailbox, account, "above/m1", "other/m1")
    with pytest.raises(NotAllowed):
        await db.write(mailboxes.create_mailbox, account, "one more")
    await db.write(mailboxes.rename_mailbox, account, "above/m1", "m1")
    await db.write(mailboxes.delete_mailbox, account, "above")
    with pytest.raises(NotAllowed):
        await db.write(mailboxes.create_mailbox, account, "above/below")
    assert len(await names(db, account)) == MAX_MAILBOXES - 1


def subscribe_much(tx: Transaction, account: int) -> None:
    tx.run(
        f"INSERT INTO subscriptions (account, name) {COUNTED} SELECT a.id, 'm' || i FROM n, accounts a"
        f" WHERE a.id = ? AND i < {MAX_SUBSCRIPTIONS - len(mailboxes.list_subscriptions(tx, account)) + 1}",
        account,
    )


async def test_names_without_mailboxes_are_not_subscribed_without_end(db: Database, account: int) -> None:
    await db.write(subscribe_much, account)
    with pytest.raises(NotAllowed):
        await db.write(mailboxes.subscribe, account, "one more", True)
    await db.write(mailboxes.subscribe, account, "m1", True)  # it is there already
    await db.write(mailboxes.subscribe, account, "m1", False)
    await db.write(mailboxes.subscribe, account, "one more", True)
