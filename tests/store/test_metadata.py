"""Annotations over every database."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.accounts import new_account

from mailwright.store import acl, mailboxes, metadata, quota
from mailwright.store.db.api import Database, Transaction
from mailwright.store.errors import NoRight, NoSuchMailbox, NotFound
from mailwright.store.metadata import INFINITY, Annotation, TooLarge, TooMany
from mailwright.store.quota import Resource

_numbers = itertools.count()


async def put(db: Database, account: int, name: str, **values: bytes | None) -> None:
    entries = [Annotation("/" + entry.replace("_", "/"), value) for entry, value in values.items()]
    await db.write(metadata.write, account, name, entries)


async def got(
    db: Database, account: int, name: str, *entries: str, depth: int = 0
) -> dict[str, bytes | None]:
    return dict((await db.read(metadata.read, account, name, entries, depth=depth)).found)


async def test_set_read_and_remove(db: Database, account: int) -> None:
    await put(db, account, "inbox", private_comment=b"mine \x00\xff", shared_comment=b"")
    wanted = ("/private/comment", "/shared/comment", "/shared/none")
    assert await got(db, account, "INBOX", *wanted) == {
        "/private/comment": b"mine \x00\xff",
        "/shared/comment": b"",
        "/shared/none": None,
    }
    assert await got(db, account, "Sent", "/private/comment") == {"/private/comment": None}
    await put(db, account, "INBOX", private_comment=None, shared_comment=b"new")
    assert await got(db, account, "INBOX", *wanted[:2]) == {
        "/private/comment": None,
        "/shared/comment": b"new",
    }


async def test_depth(db: Database, account: int) -> None:
    await put(
        db,
        account,
        "INBOX",
        shared_a=b"1",
        shared_a_b=b"2",
        shared_a_b_c=b"3",
        shared_ab=b"4",
        private_a=b"5",
    )
    assert list(await got(db, account, "INBOX", "/shared/a")) == ["/shared/a"]
    assert list(await got(db, account, "INBOX", "/shared/a", depth=1)) == ["/shared/a", "/shared/a/b"]
    assert len(await got(db, account, "INBOX", "/shared/a", depth=INFINITY)) == 3
    assert len(await got(db, account, "INBOX", "/shared", depth=INFINITY)) == 4
    assert list(await got(db, account, "INBOX", "/private", depth=1)) == ["/private/a"]
    assert await got(db, account, "INBOX", "/shared/none", depth=INFINITY) == {}


async def test_values_that_are_too_long_are_told(db: Database, account: int) -> None:
    await put(db, account, "INBOX", shared_a=b"123", shared_b=b"12345", shared_c=b"1234")
    found = await db.read(metadata.read, account, "INBOX", ["/shared"], depth=1, max_size=3)
    assert found == ([Annotation("/shared/a", b"123")], 5)
    assert (await db.read(metadata.read, account, "INBOX", ["/shared"], depth=1, max_size=5)).longest == 0


async def test_limits(db: Database, account: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "MAX_VALUE", 10)
    monkeypatch.setattr(metadata, "MAX_ENTRIES", 2)
    monkeypatch.setattr(metadata, "MAX_TOTAL", 25)
    with pytest.raises(TooLarge, match="10"):
        await put(db, account, "INBOX", shared_a=b"x", shared_b=b"x" * 11)
    assert await got(db, account, "INBOX", "/shared/a") == {"/shared/a": None}
    with pytest.raises(TooMany):
        await put(db, account, "INBOX", shared_a=b"", shared_b=b"", shared_c=b"")
    await put(db, account, "INBOX", shared_a=b"x" * 10, shared_b=b"x" * 10, private_a=b"x" * 10)
    with pytest.raises(TooMany):
        await put(db, account, "Sent", shared_a=b"x" * 10)
    await put(db, account, "INBOX", shared_a=None, shared_c=b"x")


async def test_a_mailboxs_annotations_go_with_it(db: Database, account: int) -> None:
    await db.write(mailboxes.create_mailbox, account, "a")
    await put(db, account, "a", shared_comment=b"x")
    await db.write(mailboxes.rename_mailbox, account, "a", "b")
    assert await got(db, account, "b", "/shared/comment") == {"/shared/comment": b"x"}
    await db.write(mailboxes.delete_mailbox, account, "b")
    assert await db.read(rows, account) == 0
    with pytest.raises(NoSuchMailbox):
        await got(db, account, "b", "/shared/comment")


def rows(tx: Transaction, account: int) -> int:
    row = tx.one("SELECT count(*) FROM annotations WHERE account = ?", account)
    assert row is not None
    return int(row[0])


async def test_the_server(db: Database, account: int) -> None:
    await put(db, account, "", private_x=b"mine")
    with pytest.raises(NoRight, match="administrator"):
        await put(db, account, "", shared_comment=b"x")
    await db.write(metadata.write_server, [Annotation("/shared/admin", b"mailto:postmaster@example.org")])
    other = await db.write(new_account, f"metadata{next(_numbers)}@example.org")
    assert await got(db, account, "", "/private/x") == {"/private/x": b"mine"}
    assert await got(db, other, "", "/private/x", "/shared/admin") == {
        "/private/x": None,
        "/shared/admin": b"mailto:postmaster@example.org",
    }


async def test_shared_mailboxes(db: Database) -> None:
    number = next(_numbers)
    owner = await db.write(new_account, f"annotated{number}@example.org")
    guest = await db.write(new_account, f"reader{number}@example.org")
    name = f"Other Users/annotated{number}@example.org/INBOX"
    await put(db, owner, "INBOX", shared_comment=b"all", private_comment=b"mine")
    with pytest.raises(NoSuchMailbox):
        await got(db, guest, name, "/shared/comment")
    for rights, error in (("r", NoSuchMailbox), ("lk", NoRight)):
        await db.write(acl.set_acl, owner, "INBOX", f"reader{number}@example.org", "", rights)
        with pytest.raises(error):
            await got(db, guest, name, "/shared/comment")
    await db.write(acl.set_acl, owner, "INBOX", f"reader{number}@example.org", "", "lr")
    assert await got(db, guest, name, "/shared/comment", "/private/comment") == {
        "/shared/comment": b"all",
        "/private/comment": None,
    }
    await put(db, guest, name, private_comment=b"theirs")
    with pytest.raises(NoRight, match="'w'"):
        await put(db, guest, name, private_comment=b"no", shared_comment=b"no")
    assert await got(db, guest, name, "/private/comment") == {"/private/comment": b"theirs"}
    assert await got(db, owner, "INBOX", "/private/comment") == {"/private/comment": b"mine"}
    await db.write(acl.forget_account, guest, f"reader{number}@example.org")
    assert await db.read(rows, owner) == 2


async def test_quota(db: Database, account: int) -> None:
    own = await db.read(quota.read_quota, account)
    assert own.resources == [Resource("MAILBOX", len(mailboxes.DEFAULTS), 10_000)]
    await db.write(limit, account)
    assert (await db.read(quota.read_quota, account)).resources[:2] == [
        Resource("STORAGE", 2, 10),
        Resource("MESSAGE", 3, 7),
    ]
    assert await db.read(quota.find_quota, account, own.root) == await db.read(quota.read_quota, account)
    with pytest.raises(NotFound):
        await db.read(quota.find_quota, account, "user/nobody@example.org")


def limit(tx: Transaction, account: int) -> None:
    tx.run(
        "UPDATE account_state SET bytes = 1025, messages = 3, quota_bytes = 10240, quota_messages = 7"
        " WHERE account = ?",
        account,
    )


_levels = st.lists(st.sampled_from("abc"), min_size=1, max_size=4)


@settings(max_examples=100, deadline=None)
@given(_levels, _levels)
def test_levels_below(name: list[str], entry: list[str]) -> None:
    below = metadata._levels_below("/shared/" + "/".join(name), "/shared/" + "/".join(entry))
    assert below == len(name) - len(entry) if name[: len(entry)] == entry else below > INFINITY
