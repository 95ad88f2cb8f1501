"""Where an address leads is asked once for all who want to know, and again before the answer grows old."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path as FilePath

import pytest
from support.stores import open_store

from mailwright.app.outbound import server_itself
from mailwright.base.clock import ManualClock
from mailwright.config import Config
from mailwright.delivery.routing import Route, Router
from mailwright.directory.accounts import add_account, remove_account
from mailwright.directory.domains import add_domain
from mailwright.queue.srs import Rewriter
from mailwright.smtp import replies
from mailwright.smtp.syntax.path import Path
from mailwright.store.db.api import Operation, P, T
from mailwright.store.errors import StoreFailed
from mailwright.store.store import Store

IS_US = server_itself(Config(), "mx.example.org")
ALICE = Path("alice", "example.org")


class House:
    """A router over a store whose questions are counted."""

    def __init__(self, store: Store) -> None:
        self.clock = ManualClock()
        self.router = Router(
            store, self.clock, "+", "mx.example.org", IS_US, lambda domain: Rewriter(domain, (b"secret",))
        )
        self.store = store
        self.asked = 0
        self._read = store.db.look_up
        store.db.look_up = self.look_up  # type: ignore[method-assign]

    async def look_up(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self.asked += 1
        return await self._read(operation, *args, **kwargs)

    async def after(self, seconds: float) -> Route:
        """The answer then, and what was begun because of it is done."""
        self.clock.advance(seconds)
        route = await self.router.route(ALICE)
        while self.router._asking:
            await asyncio.sleep(0.001)
        return route


@pytest.fixture
async def house(tmp_path: FilePath) -> AsyncIterator[House]:
    async with open_store(tmp_path) as store:
        await store.write(add_domain, "example.org", now=1)
        await store.write(add_account, "alice@example.org", now=1)
        yield House(store)


async def test_many_who_ask_at_once_ask_once(house: House) -> None:
    routes = await asyncio.gather(*(house.router.route(ALICE) for _ in range(20)))
    assert {route.resolution.accounts[0].address for route in routes} == {"alice@example.org"}
    assert house.asked == 1


async def test_a_busy_address_is_asked_ahead(house: House) -> None:
    await house.after(0)
    await house.after(0.4)
    assert house.asked == 1
    await house.after(0.2)  # answered from memory, and asked anew behind it
    assert house.asked == 2
    await house.after(0.4)
    assert house.asked == 2


async def test_an_answer_older_than_a_second_is_not_used(house: House) -> None:
    await house.after(0)
    await house.store.write(remove_account, "alice@example.org")
    assert (await house.after(0.9)).refusal is None
    assert (await house.after(0)).refusal == replies.NO_SUCH_USER
    assert (await house.after(1.1)).refusal == replies.NO_SUCH_USER


async def test_all_who_wait_are_told_that_the_store_fails(house: House) -> None:
    await house.store.close()
    told = await asyncio.gather(*(house.router.route(ALICE) for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in told] == [StoreFailed] * 3


async def test_without_any_domain_nothing_is_refused_for_good(tmp_path: FilePath) -> None:
    """A server whose data is not there, as on a disk that is not mounted, must not send everybody's mail back."""
    async with open_store(tmp_path) as store:
        house = House(store)
        for path in (ALICE, Path("postmaster", "")):
            assert (await house.router.route(path)).refusal == replies.NOT_SET_UP
        assert replies.NOT_SET_UP.code == 451
        await store.write(add_domain, "example.org", now=1)
        assert (await house.after(2)).refusal == replies.NO_SUCH_USER
