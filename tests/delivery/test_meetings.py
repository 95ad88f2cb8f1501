"""Two processes of one PostgreSQL that deliver at the same moment."""

from __future__ import annotations

import asyncio

import psycopg
from support.accounts import new_account, prepared
from support.meetings import processes, waits

from mailwright.delivery.local import Delivery, deliver
from mailwright.delivery.reception import Reception
from mailwright.delivery.success import Asked
from mailwright.directory.resolve import Destination
from mailwright.queue.model import Notice, Rules
from mailwright.queue.values import Message
from mailwright.store import changes
from mailwright.store.db.api import Transaction

NOW = 1_800_000_000.0


async def test_who_is_told_of_a_delivery_waits_in_no_circle_with_who_gets_mail(
    postgres_database: str,
) -> None:
    async with processes(postgres_database) as (db, _):
        alice, bob = [await db.write(new_account, f"{name}@us.example") for name in ("alice", "bob")]
        message = Message(
            0, alice, 0, 0, "alice@us.example", "", "HDRS", "7BIT", False, False, "en", NOW, NOW, b""
        )  # fmt: skip
        delivery = Delivery(
            await asyncio.to_thread(prepared, db, b"Subject: x\r\n\r\n"),
            [Destination(bob, "bob@us.example", "")],
            [],
            NOW,
            True,
            Reception(NOW, "192.0.2.9", "ESMTPSA", "alice@us.example", ("bob@us.example",)),
            asked=Asked(message, ()),
        )

        def tell(tx: Transaction, _notice: Notice, _now: float) -> None:
            changes.hold(tx, alice)

        async with await psycopg.AsyncConnection.connect(postgres_database) as other:
            hold = "SELECT 1 FROM account_state WHERE account = %s FOR UPDATE NOWAIT"
            await other.execute(hold, (alice,))
            delivering = asyncio.create_task(db.write(deliver, [delivery], Rules(), tell))
            await waits(other)
            await other.execute(hold, (bob,))
            await other.commit()
            assert (await delivering)[0].failed == {}
