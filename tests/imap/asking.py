"""A client that asks and takes numbers, over a real store filled with the oracle's mail."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from support.accounts import new_account
from support.streams import TLS, MemoryStream

from imap.house import NOW, Directory
from imap.oracle import Mail, Seen
from mailwright.base.clock import ManualClock
from mailwright.imap.service import Service
from mailwright.imap.session import Session
from mailwright.sasl.api import Account
from mailwright.store import arrivals, mailboxes, messages
from mailwright.store.store import Store

_accounts = itertools.count(1)


class Client(MemoryStream):
    """Asks, and gives the numbers of the answer; `heard` are the untagged lines of the last one."""

    heard: list[bytes]

    async def ask(self, command: bytes) -> list[int]:
        self.feed(b"t " + command + b"\r\n")
        numbers: list[int] = []
        self.heard = []
        while not (line := await self.line()).startswith(b"t "):
            self.heard.append(line)
            if line.startswith((b"* SEARCH", b"* SORT")):
                numbers = [int(word) for word in line.split()[2:]]
        assert line.startswith(b"t OK"), line
        return numbers


@asynccontextmanager
async def logged_in(store: Store, account: int) -> AsyncIterator[Client]:
    service = Service(store, Directory({}), ManualClock(NOW), hostname="h", server_secret=b"s" * 32)
    client = Client(tls=TLS)
    session = Session(client, service)
    session.log_in(Account(account, "alice@example.org"))
    task = asyncio.ensure_future(session.run())
    await client.line()
    await client.ask(b"SELECT INBOX")
    try:
        yield client
    finally:
        client.lose()
        await asyncio.wait_for(task, 60)


async def fill(store: Store, mail: list[Mail], copied: list[int]) -> tuple[int, list[Seen]]:
    """Put mail into a new account's INBOX, then some of it again: later UIDs, earlier messages."""
    account = await store.write(new_account, f"s{next(_accounts)}@example.org")
    box = (await store.read(mailboxes.find_mailbox, account, "INBOX")).id
    masks = {"Seen": 1, "Answered": 2, "Flagged": 4, "Draft": 16}
    for one in mail:
        incoming = store.incoming()
        await incoming.write(one.content)
        await store.write(
            arrivals.add,
            account,
            box,
            await incoming.finish(),
            now=NOW,
            flags=sum(masks[name] for name in one.flags),
            keywords=" ".join(sorted(one.keywords)),
            internal_date=one.internal,
        )
    for index in copied:
        await store.write(messages.copy, account, box, [index + 1], box, now=NOW)
    every = [*mail, *[mail[index] for index in copied]]
    return account, [Seen(number, number, one) for number, one in enumerate(every, 1)]
