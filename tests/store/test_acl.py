"""Rights on mailboxes: what was granted less what was denied, over every database."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.accounts import new_account, prepared

from mailwright.store import acl, arrivals, mailboxes, messages, reading, transfer
from mailwright.store.acl import RIGHTS, Grant, InvalidIdentifier, normal_identifier
from mailwright.store.changes import read_changes, read_modseq
from mailwright.store.db.api import Database, Transaction
from mailwright.store.errors import AlreadyExists, NoRight, NoSuchMailbox, NotAllowed, OverQuota
from mailwright.store.mailboxes import InvalidName
from mailwright.store.model import Flag

_numbers = itertools.count()


class Two:
    """An owner and a guest."""

    def __init__(self, db: Database, owner: int, guest: int, number: int) -> None:
        self.db = db
        self.owner = owner
        self.guest = guest
        self.owner_address = f"owner{number}@example.org"
        self.guest_address = f"guest{number}@example.org"

    def name(self, path: str) -> str:
        return f"Other Users/{self.owner_address}/{path}"

    async def grant(self, path: str, rights: str, identifier: str = "", mode: str = "") -> None:
        await self.db.write(acl.set_acl, self.owner, path, identifier or self.guest_address, mode, rights)

    async def add(self, account: int, name: str, *, size: int = 5, flags: int = 0, keywords: str = "") -> int:
        box = await self.db.read(mailboxes.find_mailbox, account, name)
        content = prepared(self.db, b"Message-ID: <1@x>\r\n\r\n".ljust(size, b"x"), "1@x")
        added = await self.db.write(
            arrivals.add, account, box.id, content, now=1, flags=flags, keywords=keywords
        )
        return added.uid


@pytest.fixture
async def two(db: Database) -> Two:
    number = next(_numbers)
    owner = await db.write(new_account, f"owner{number}@example.org")
    return Two(db, owner, await db.write(new_account, f"guest{number}@example.org"), number)


async def test_own_mailboxes_have_all_rights(two: Two) -> None:
    assert (await two.db.read(acl.resolve, two.owner, "inbox"))[2:] == (RIGHTS, "INBOX")
    access = await two.db.read(acl.resolve, two.owner, two.name("inbox"))
    assert (access.account, access.rights) == (two.owner, RIGHTS)


async def test_nothing_is_shared_at_first(two: Two) -> None:
    for name in (
        two.name("INBOX"),
        two.name("nothing"),
        "Other Users/no@example.org/INBOX",
        "Public/a",
        "Other Users/x",
    ):
        with pytest.raises(NoSuchMailbox, match="no mailbox"):
            await two.db.read(acl.resolve, two.guest, name)
    assert await two.db.read(acl.list_shared, two.guest) == []


async def test_granted_rights(two: Two) -> None:
    await two.grant("INBOX", "rl")
    access = await two.db.read(acl.resolve, two.guest, two.name("inbox").replace("owner", "OWNER"))
    assert (access.account, access.mailbox.name, access.rights) == (two.owner, "INBOX", "lr")
    access.need("r")
    with pytest.raises(NoRight, match="'w'"):
        access.need("w")
    await two.grant("INBOX", "sl", mode="+")
    await two.grant("INBOX", "rx", mode="-")
    assert await two.db.read(acl.read_rights, two.guest, two.owner, access.mailbox.id) == "ls"


async def test_what_cannot_be_looked_up_is_not_there(two: Two) -> None:
    await two.grant("INBOX", "i")
    access = await two.db.read(acl.resolve, two.guest, two.name("INBOX"))
    access.need("i")
    with pytest.raises(NoSuchMailbox):
        access.need("r")
    assert await two.db.read(acl.list_shared, two.guest) == []


async def test_anyone_and_what_is_denied(two: Two) -> None:
    await two.grant("INBOX", "lrs", "Anyone")
    await two.grant("INBOX", "i")
    await two.grant("INBOX", "s", "-" + two.guest_address)
    box = await two.db.read(mailboxes.find_mailbox, two.owner, "INBOX")
    assert await two.db.read(acl.read_rights, two.guest, two.owner, box.id) == "lri"
    stranger = await two.db.write(new_account, f"stranger{two.guest}@example.org")
    assert await two.db.read(acl.read_rights, stranger, two.owner, box.id) == "lrs"
    await two.grant("INBOX", "l", "-anyone")
    assert await two.db.read(acl.list_shared, two.guest) == []
    _, listed = await two.db.read(acl.read_acl, two.owner, "INBOX")
    assert listed[0] == Grant(two.owner_address, RIGHTS)
    assert set(listed[1:]) == {
        Grant("-anyone", "l"),
        Grant("-" + two.guest_address, "s"),
        Grant("anyone", "lrs"),
        Grant(two.guest_address, "i"),
    }


async def test_no_rights_is_no_entry(two: Two) -> None:
    await two.grant("INBOX", "lr")
    await two.grant("INBOX", "lr", mode="-")
    assert len((await two.db.read(acl.read_acl, two.owner, "INBOX"))[1]) == 1
    await two.grant("INBOX", "lr")
    await two.db.write(acl.delete_acl, two.owner, "INBOX", two.guest_address.upper())
    assert len((await two.db.read(acl.read_acl, two.owner, "INBOX"))[1]) == 1


async def test_lists_need_a(two: Two) -> None:
    await two.grant("INBOX", "lr")
    for operation, *args in (
        (acl.read_acl,),
        (acl.read_grantable, "anyone"),
        (acl.set_acl, "anyone", "", "l"),
        (acl.delete_acl, "anyone"),
    ):
        with pytest.raises(NoRight):
            await two.db.write(operation, two.guest, two.name("INBOX"), *args)  # type: ignore[arg-type]
    await two.grant("INBOX", "a", mode="+")
    await two.db.write(acl.set_acl, two.guest, two.name("INBOX"), "anyone", "", "l")
    assert (await two.db.read(acl.read_grantable, two.guest, two.name("INBOX"), two.owner_address))[
        1
    ] == RIGHTS
    assert (await two.db.read(acl.read_grantable, two.guest, two.name("INBOX"), "anyone"))[1] == ""


async def test_who_cannot_be_granted_anything(two: Two) -> None:
    for identifier in (two.owner_address, "-" + two.owner_address, "nobody@example.org"):
        with pytest.raises(NotAllowed):
            await two.grant("INBOX", "lr", identifier)
    for identifier in (
        "-",
        "guest",
        "a b@example.org",
        "x@-",
        "@example.org",
        "public",
        "x" * 500 + "@example.org",
    ):
        with pytest.raises(InvalidIdentifier):
            await two.grant("INBOX", "lr", identifier)


async def test_a_list_is_bounded(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acl, "MAX_IDENTIFIERS", 1)
    await two.grant("INBOX", "l")
    await two.grant("INBOX", "lr")
    with pytest.raises(NotAllowed, match="delete some"):
        await two.grant("INBOX", "l", "anyone")


async def test_a_change_of_rights_is_in_the_log(two: Two) -> None:
    box = await two.db.read(mailboxes.find_mailbox, two.owner, "INBOX")
    before = await two.db.read(read_modseq, two.owner)
    await two.grant("INBOX", "lr")
    assert [change.mailbox for change in await two.db.read(read_changes, two.owner, before)] == [box.id]


async def test_listing_what_others_share(two: Two) -> None:
    await two.db.write(mailboxes.create_mailbox, two.owner, "a/b")
    await two.grant("a/b", "lr")
    await two.grant("Sent", "l")
    await two.grant("Drafts", "r")
    listed = await two.db.read(acl.list_shared, two.guest)
    assert [(access.name, access.rights) for access in listed] == [
        (two.name("Sent"), "l"),
        (two.name("a/b"), "lr"),
    ]
    assert await two.db.read(acl.list_shared, two.owner) == []


async def test_new_mailboxes_inherit(two: Two) -> None:
    await two.db.write(mailboxes.create_mailbox, two.owner, "a")
    await two.grant("a", "lrk")
    await two.db.write(acl.create_mailbox, two.guest, two.name("a/b/c"))
    assert (await two.db.read(acl.resolve, two.guest, two.name("a/b/c"))).rights == "lrk"
    with pytest.raises(AlreadyExists):
        await two.db.write(acl.create_mailbox, two.guest, two.name("a/b"))
    with pytest.raises(NotAllowed, match="special use"):
        await two.db.write(acl.create_mailbox, two.guest, two.name("a/d"), role="all")
    for name in (
        two.name("d"),
        two.name("Sent/x"),
        "Other Users/no@example.org/a",
        "Public/x",
        "Other Users/x",
    ):
        with pytest.raises(NoRight, match="may not create"):
            await two.db.write(acl.create_mailbox, two.guest, name)
        assert not await two.db.read(acl.may_create, two.guest, name)
    assert await two.db.read(acl.may_create, two.guest, two.name("a/x"))
    assert await two.db.read(acl.may_create, two.guest, "x")
    for name in ("Public", "Other Users", "Public/"):
        with pytest.raises(InvalidName):
            await two.db.write(acl.create_mailbox, two.guest, name)


async def test_deleting_needs_x_and_forgets_the_list(two: Two) -> None:
    await two.db.write(mailboxes.create_mailbox, two.owner, "a")
    await two.grant("a", "lr")
    with pytest.raises(NoRight):
        await two.db.write(acl.delete_mailbox, two.guest, two.name("a"))
    await two.grant("a", "x", mode="+")
    await two.db.write(acl.delete_mailbox, two.guest, two.name("a"))
    assert await two.db.read(acl_rows, two.owner) == 0


def acl_rows(tx: Transaction, owner: int) -> int:
    row = tx.one("SELECT count(*) FROM acl WHERE account = ?", owner)
    assert row is not None
    return int(row[0])


async def test_renaming_needs_x_and_k(two: Two) -> None:
    for name in ("a", "a/b", "c"):
        await two.db.write(mailboxes.create_mailbox, two.owner, name)
    await two.grant("a/b", "lrx")
    with pytest.raises(NoRight):
        await two.db.write(acl.rename_mailbox, two.guest, two.name("a/b"), two.name("c/b"))
    await two.grant("c", "k")
    await two.db.write(acl.rename_mailbox, two.guest, two.name("a/b"), two.name("c/b"))
    assert (await two.db.read(acl.resolve, two.guest, two.name("c/b"))).rights == "lrx"
    with pytest.raises(NotAllowed, match="stays with its owner"):
        await two.db.write(acl.rename_mailbox, two.guest, two.name("c/b"), "mine")
    with pytest.raises(NotAllowed, match="stays with its owner"):
        await two.db.write(acl.rename_mailbox, two.guest, "Archive", two.name("c/d"))
    await two.grant("INBOX", "lx")
    with pytest.raises(NotAllowed, match="INBOX"):
        await two.db.write(acl.rename_mailbox, two.guest, two.name("INBOX"), two.name("c/d"))
    with pytest.raises(InvalidName):
        await two.db.write(acl.rename_mailbox, two.guest, "Archive", "Public")


async def test_public_folders(two: Two) -> None:
    with pytest.raises(NoRight):
        await two.db.write(acl.create_mailbox, two.owner, "Public/news")
    await two.db.write(acl.grant_public, two.owner_address, "lrswipkxtea", now=1)
    await two.db.write(acl.create_mailbox, two.owner, "Public/news/local")
    await two.db.write(acl.set_acl, two.owner, "Public/news", "anyone", "", "lr")
    assert [a.name for a in await two.db.read(acl.list_shared, two.guest)] == ["Public/news"]
    access, listed = await two.db.read(acl.read_acl, two.owner, "Public/news")
    assert listed == [Grant("anyone", "lr"), Grant(two.owner_address, RIGHTS)]
    assert access.account == await two.db.write(acl.public_account, now=2)
    assert access.account not in (two.owner, two.guest)


async def test_a_removed_account_is_forgotten(two: Two) -> None:
    await two.grant("INBOX", "lr")
    await two.grant("INBOX", "r", "-" + two.guest_address)
    await two.db.write(acl.forget_account, two.guest, two.guest_address)
    assert await two.db.read(acl_rows, two.owner) == 0


async def test_copying_to_another_account(two: Two) -> None:
    await two.grant("INBOX", "lrwi")
    box = await two.db.read(mailboxes.find_mailbox, two.guest, "INBOX")
    await two.add(two.owner, "Sent")
    flags = Flag.SEEN | Flag.FLAGGED | Flag.DELETED
    uids = [await two.add(two.guest, "INBOX", size=40, flags=flags, keywords="$Work") for _ in range(2)]
    target = await two.db.read(acl.resolve, two.guest, two.name("INBOX"))
    copied = await two.db.write(transfer.copy, two.guest, box.id, uids, target, now=9)
    places = await two.db.read(reading.read_range, two.owner, target.mailbox.id)
    assert (copied.sources, copied.uids) == (uids, [1, 2])
    assert [(place.flags, place.keywords, place.saved_at) for place in places] == [
        (Flag.FLAGGED, "$Work", 9)
    ] * 2
    assert await two.db.read(usage, two.owner) == (3, 21 + 80)
    assert await two.db.read(threads, two.owner) == 1
    await two.db.write(messages.expunge, two.guest, box.id, None)
    assert await two.db.read(usage, two.guest) == (0, 0)
    assert await two.db.read(content, places[0].message) == b"Message-ID: <1@x>\r\n\r\n".ljust(40, b"x")
    await two.db.write(messages.expunge, two.owner, target.mailbox.id, None)
    assert await two.db.read(usage, two.owner) == (1, 21)


async def test_moving_to_another_account(two: Two) -> None:
    await two.grant("INBOX", "lr")
    box = await two.db.read(mailboxes.find_mailbox, two.guest, "INBOX")
    await two.add(two.guest, "INBOX", flags=Flag.SEEN)
    target = await two.db.read(acl.resolve, two.guest, two.name("INBOX"))
    with pytest.raises(NoRight):
        await two.db.write(transfer.move, two.guest, box.id, [1], target, now=9)
    target = target._replace(rights="lri")
    await two.db.write(transfer.move, two.guest, box.id, [1, 7], target, now=9)
    assert await two.db.read(reading.read_uids, two.guest, box.id) == []
    assert [place.flags for place in await two.db.read(reading.read_range, two.owner, target.mailbox.id)] == [
        0
    ]
    assert await two.db.read(usage, two.guest) == (0, 0)


async def test_the_owners_quota_counts(two: Two) -> None:
    await two.db.write(set_quota, two.owner, 100)
    box = await two.db.read(mailboxes.find_mailbox, two.guest, "INBOX")
    for _ in range(3):
        await two.add(two.guest, "INBOX", size=40)
    target = (await two.db.read(acl.resolve, two.owner, "INBOX"))._replace(rights="lri")
    with pytest.raises(OverQuota):
        await two.db.write(transfer.copy, two.guest, box.id, [1, 2, 3], target, now=9)
    assert await two.db.read(usage, two.owner) == (0, 0)
    await two.db.write(transfer.copy, two.guest, box.id, [1, 2], target, now=9)


def set_quota(tx: Transaction, account: int, octets: int) -> None:
    tx.run("UPDATE account_state SET quota_bytes = ? WHERE account = ?", octets, account)


def usage(tx: Transaction, account: int) -> tuple[int, int]:
    row = tx.one("SELECT messages, bytes FROM account_state WHERE account = ?", account)
    assert row is not None
    return int(row[0]), int(row[1])


def threads(tx: Transaction, account: int) -> int:
    row = tx.one(
        "SELECT count(DISTINCT m.thread) FROM places p JOIN messages m ON m.id = p.message WHERE p.account = ?",
        account,
    )
    assert row is not None
    return int(row[0])


def content(tx: Transaction, message: int) -> bytes:
    row = tx.one("SELECT blob FROM messages WHERE id = ?", message)
    assert row is not None
    return tx.blobs.read_whole(tx, row[0])


_rights = st.text(st.sampled_from(RIGHTS))
_grants = st.lists(st.builds(Grant, st.sampled_from(["anyone", "-anyone", "a@b", "-a@b"]), _rights))


@settings(max_examples=100, deadline=None)
@given(_grants)
def test_rights_combine_in_any_order(grants: list[Grant]) -> None:
    rights = acl.combine(grants)
    assert rights == acl.combine(grants[::-1]) == acl.ordered(rights)
    for right in RIGHTS:
        granted = any(right in g.rights and g.identifier[0] != "-" for g in grants)
        denied = any(right in g.rights and g.identifier[0] == "-" for g in grants)
        assert (right in rights) == (granted and not denied)


@settings(max_examples=200, deadline=None)
@given(st.text() | st.emails())
def test_identifiers_have_one_form(text: str) -> None:
    try:
        normal = normal_identifier(text)
    except InvalidIdentifier:
        return
    assert normal_identifier(normal) == normal
    assert not any(char.isspace() for char in normal)
