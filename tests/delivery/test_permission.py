"""What an account may do is remembered for a second, what it may not never."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.stores import open_store

from mailwright.base.clock import ManualClock
from mailwright.delivery.permission import Permissions
from mailwright.directory.accounts import add_account
from mailwright.directory.domains import add_domain
from mailwright.queue import usage
from mailwright.queue.limits import BreakerLimits, SendingLimits
from mailwright.queue.usage import Suppression
from mailwright.queue.values import NewMessage, NewRecipient
from mailwright.smtp import replies
from mailwright.store.db.api import Transaction
from mailwright.store.store import Store

ALICE = "alice@example.org"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path) as store:
        await store.write(add_domain, "example.org", now=1)
        yield store


async def alice(store: Store) -> int:
    return (await store.write(add_account, ALICE, now=1)).id


def count(tx: Transaction, account: int, now: float) -> None:
    message = NewMessage(0, 1, ALICE, (NewRecipient("bob@b.example"),), now, account=account)
    usage.count_sent(tx, [message], now, BreakerLimits(0, 0.0, 0, 0.0))


async def test_limits_are_exact_though_the_store_is_asked_once(store: Store) -> None:
    account, clock = await alice(store), ManualClock()
    permissions = Permissions(store, clock, "+", SendingLimits(3, 0, 0, 0))
    for _ in range(3):
        assert await permissions.check_sender(account, ALICE) is None
        await store.write(count, account, clock.now())
    refusal = await permissions.check_sender(account, ALICE)
    assert refusal is not None
    assert (refusal.code, refusal.enhanced) == (450, "4.7.1")


async def test_an_address_that_is_not_theirs_is_refused_each_time(store: Store) -> None:
    account, clock = await alice(store), ManualClock()
    permissions = Permissions(store, clock, "+", SendingLimits())
    assert await permissions.check_sender(account, "bob@example.org") == replies.NOT_YOUR_ADDRESS
    assert await permissions.check_sender(account, "bob@example.org") == replies.NOT_YOUR_ADDRESS
    assert await permissions.check_sender(account, ALICE) is None
    assert await permissions.check_sender(account, "") is None, "the null reverse-path is everybody's"


async def test_a_suppressed_address_is_found_after_a_second(store: Store) -> None:
    account, clock = await alice(store), ManualClock()
    permissions = Permissions(store, clock, "+", SendingLimits())
    assert await permissions.check_recipient(account, "bob@b.example") is None
    found = Suppression(account, "bob@b.example", clock.now(), "550 5.1.1 no such user")
    await store.write(usage.suppress, found)
    assert await permissions.check_recipient(account, "bob@b.example") is None
    clock.advance(1.1)
    refusal = await permissions.check_recipient(account, "bob@b.example")
    assert refusal is not None
    assert "no such user" in refusal.lines[0]


async def test_what_is_remembered_is_told_without_waiting(store: Store) -> None:
    account, clock = await alice(store), ManualClock()
    permissions = Permissions(store, clock, "+", SendingLimits(2, 0, 0, 0))
    assert not permissions.may_send(account, ALICE)
    assert not permissions.may_send_to(account, "bob@b.example")
    assert await permissions.check_sender(account, ALICE) is None
    assert await permissions.check_recipient(account, "bob@b.example") is None
    assert permissions.may_send(account, ALICE), "the second of two that the limit allows"
    assert not permissions.may_send(account, ALICE)
    assert permissions.may_send_to(account, "bob@b.example")
    clock.advance(1.1)
    assert not permissions.may_send_to(account, "bob@b.example")
