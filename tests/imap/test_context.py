"""A result that is kept up to date, while others change the mailbox in the midst of it (RFC 5267 4.3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.stores import open_store

from imap.dialog import Dialog
from imap.house import House, sample
from imap.test_streaming import Home, reply
from mailwright.imap.search import order
from mailwright.store.arrivals import add
from mailwright.store.mailboxes import find_mailbox
from mailwright.store.messages import expunge


async def test_what_is_expunged_while_the_result_is_sorted_leaves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(tmp_path) as store:
        house = House(store, Dialog("", [], []))
        await house.prepare()
        home = Home(store, house.accounts["alice"])
        inbox = await store.read(find_mailbox, home.account, "INBOX")

        async def arrive(number: int) -> None:
            incoming = store.incoming()
            await incoming.write(sample(number))
            await store.write(add, home.account, inbox.id, await incoming.finish(), now=1)

        for number in (1, 2, 3):
            await arrive(number)
        stream, session = home.connect()
        await stream.line()
        stream.feed(b"a SELECT INBOX\r\nb UID SORT RETURN (UPDATE ALL) (REVERSE DATE) UTF-8 ALL\r\n")
        await reply(stream, b"a")
        assert await stream.line() == b'* ESEARCH (TAG "b") UID ALL 3,2,1'
        await reply(stream, b"b")
        await arrive(4)
        read = store.db.read

        async def expunge_before_sorting(work: Any, *args: Any) -> Any:
            if work in (order._collect, order._merge):
                await store.write(expunge, home.account, inbox.id, [2])
            return await read(work, *args)

        with monkeypatch.context() as patch:
            patch.setattr(store.db, "read", expunge_before_sorting)
            stream.feed(b"c NOOP\r\n")
            assert await stream.line() == b"* 4 EXISTS"
            assert await stream.line() == b"* 1 RECENT"
            assert await stream.line() == b'* ESEARCH (TAG "b") UID REMOVEFROM (2 2) ADDTO (1 4)'
            await reply(stream, b"c")
        stream.feed(b"d NOOP\r\n")
        assert await stream.line() == b"* 2 EXPUNGE"
        await reply(stream, b"d")
        stream.lose()
        await session
