"""Where mail for an address goes."""

from __future__ import annotations

import pytest

from mailwright.directory.accounts import add_account, remove_account, set_disabled
from mailwright.directory.aliases import add_alias, list_aliases, remove_alias
from mailwright.directory.domains import add_domain, list_domains, remove_domain
from mailwright.directory.errors import (
    AccountDisabled,
    AliasLoop,
    AlreadyExists,
    DomainInUse,
    InvalidAddress,
    NoSuchUser,
    NotLocal,
)
from mailwright.directory.resolve import Resolution, may_send_as, resolve
from mailwright.store import mailboxes
from mailwright.store.store import Store


async def where(store: Store, address: str) -> set[str]:
    found: Resolution = await store.read(resolve, address)
    return {destination.address for destination in found.accounts} | set(found.remote)


async def test_accounts_are_found_in_any_case_and_with_tags(store: Store) -> None:
    await store.write(add_account, "Alice@Example.org", now=1)
    for address in ("alice@example.org", "ALICE@EXAMPLE.ORG", "alice+list@example.org", "alice@example.org."):
        assert await where(store, address) == {"alice@example.org"}
    found = await store.read(resolve, "alice+Lists+a@example.org")
    assert found.accounts[0].detail == "lists+a"
    assert await store.read(resolve, "alice@example.org") != found


async def test_an_account_with_a_plus_in_its_name_wins_over_the_tag(store: Store) -> None:
    await store.write(add_account, "alice@example.org", now=1)
    await store.write(add_account, "alice+work@example.org", now=1)
    assert await where(store, "alice+work@example.org") == {"alice+work@example.org"}


async def test_unicode_addresses(store: Store) -> None:
    await store.write(add_domain, "例子.测试", now=1)
    await store.write(add_account, "用户@例子.测试", now=1)
    assert await where(store, "用户@xn--fsqu00a.xn--0zwm56d") == {"用户@xn--fsqu00a.xn--0zwm56d"}
    assert "xn--fsqu00a.xn--0zwm56d" in await store.read(list_domains)


async def test_aliases_have_several_targets_here_and_elsewhere(store: Store) -> None:
    await store.write(add_account, "alice@example.org", now=1)
    await store.write(add_account, "bob@example.org", now=1)
    await store.write(add_alias, "team@example.org", ["alice@example.org", "bob@example.org"], now=1)
    await store.write(add_alias, "all@example.org", ["team@example.org", "Eve@Elsewhere.example"], now=1)
    assert await where(store, "all+x@example.org") == {
        "alice@example.org",
        "bob@example.org",
        "Eve@elsewhere.example",
    }


async def test_the_catch_all_takes_what_is_not_named(store: Store) -> None:
    await store.write(add_account, "alice@example.org", now=1)
    await store.write(add_account, "bob@example.org", now=1)
    await store.write(add_alias, "*@example.org", ["alice@example.org"], now=1)
    assert await where(store, "whoever@example.org") == {"alice@example.org"}
    assert await where(store, "bob@example.org") == {"bob@example.org"}


async def test_postmaster_always_reaches_somebody(store: Store) -> None:
    await store.write(add_account, "alice@example.org", now=1)
    assert await where(store, "Postmaster@example.org") == {"alice@example.org"}


async def test_refusals(store: Store) -> None:
    await store.write(add_account, "alice@example.org", now=1)
    with pytest.raises(NotLocal):
        await store.read(resolve, "alice@elsewhere.example")
    with pytest.raises(NoSuchUser):
        await store.read(resolve, "nobody@example.org")
    with pytest.raises(InvalidAddress):
        await store.read(resolve, "nobody")
    await store.write(set_disabled, "alice@example.org", True)
    with pytest.raises(AccountDisabled):
        await store.read(resolve, "alice@example.org")


async def test_loops_end(store: Store) -> None:
    await store.write(add_alias, "a@example.org", ["b@example.org"], now=1)
    await store.write(add_alias, "b@example.org", ["a@example.org"], now=1)
    with pytest.raises(AliasLoop):
        await store.read(resolve, "a@example.org")
    await store.write(add_account, "alice@example.org", now=1)
    await store.write(add_alias, "b@example.org", ["alice@example.org"], now=1)
    assert await where(store, "a@example.org") == {"alice@example.org"}


async def test_an_account_may_send_as_its_addresses_only(store: Store) -> None:
    alice = await store.write(add_account, "alice@example.org", now=1)
    bob = await store.write(add_account, "bob@example.org", now=1)
    await store.write(add_alias, "sales@example.org", ["alice@example.org"], now=1)
    for address, owner in (
        ("alice+x@example.org", alice),
        ("sales@example.org", alice),
        ("bob@example.org", bob),
    ):
        assert await store.read(may_send_as, owner.id, address)
        assert not await store.read(may_send_as, bob.id if owner is alice else alice.id, address)
    assert not await store.read(may_send_as, alice.id, "alice@elsewhere.example")


async def test_names_are_taken_once(store: Store) -> None:
    await store.write(add_account, "alice@example.org", now=1)
    with pytest.raises(AlreadyExists):
        await store.write(add_account, "ALICE@example.org", now=1)
    with pytest.raises(AlreadyExists):
        await store.write(add_alias, "alice@example.org", ["x@example.org"], now=1)
    with pytest.raises(NotLocal, match="domain add"):
        await store.write(add_account, "alice@elsewhere.example", now=1)
    with pytest.raises(AlreadyExists):
        await store.write(add_domain, "EXAMPLE.org", now=1)


async def test_a_domain_in_use_stays(store: Store) -> None:
    await store.write(add_account, "alice@example.org", now=1)
    with pytest.raises(DomainInUse, match="still has alice@"):
        await store.write(remove_domain, "example.org")
    await store.write(remove_account, "alice@example.org")
    await store.write(remove_domain, "example.org")
    assert await store.read(list_domains) == []


async def test_a_removed_account_leaves_nothing(store: Store) -> None:
    alice = await store.write(add_account, "alice@example.org", now=1)
    await store.write(add_alias, "a@example.org", ["alice@example.org", "x@elsewhere.example"], now=1)
    await store.write(remove_account, "alice@example.org")
    assert await store.read(mailboxes.list_mailboxes, alice.id) == []
    assert await store.read(list_aliases) == {"a@example.org": ["x@elsewhere.example"]}
    await store.write(remove_alias, "a@example.org")
    assert await store.read(list_aliases) == {}
