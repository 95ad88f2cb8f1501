"""The record of what came to the door, as `mailwright trace` finds it."""

from __future__ import annotations

from pathlib import Path as FilePath

from mailwright.delivery.reception import Kept, Reception, Verdict, find, find_by_queue, keep_all, prune, tell
from mailwright.delivery.refusals import MOST, MOST_OF_ONE, Refusals
from mailwright.store.db.api import Database, Transaction


def came(
    at: float, sender: str = "eve@e.example", to: str = "bob@b.example", mail_id: str = "a1"
) -> Reception:
    return Reception(
        at, "192.0.2.9:4711", "ESMTPS", sender, (to,), id=mail_id, message_id=f"{mail_id}@e.example"
    )


async def test_it_is_found_by_all_its_names(db: Database) -> None:
    kept = [Kept("robert@b.example")]
    await db.write(keep_all, [came(1.0, to="Bob+x@b.example").ended(kept, [7, 12])])
    await db.write(keep_all, [came(2.0, "100%_\\@e.example", "“quoted”@b.example", "A2")])
    for name in ("a1", "<A1@e.example>", "EVE@e.example", "bob+X@b.example", "robert@b.example"):
        (found,) = await db.read(find, name, 10)
        assert found.id == "a1", name
        assert (found.kept, found.queue) == (tuple(kept), (7, 12))
    for name in ("100%_\\@e.example", "“QUOTED”@b.example", "a2"):
        (found,) = await db.read(find, name, 10)
        assert found.id == "A2", name
    assert await db.read(find, "ob+x@b.example", 10) == []
    by_queue = await db.read(find_by_queue, 12)
    assert by_queue is not None
    assert by_queue.id == "a1"
    assert await db.read(find_by_queue, 1) is None


async def test_the_latest_come_first_and_not_too_many(db: Database) -> None:
    await db.write(keep_all, [came(float(n), mail_id=f"m{n}") for n in range(5)])
    assert [found.id for found in await db.read(find, "bob@b.example", 2)] == ["m4", "m3"]


async def test_who_has_enough_of_many_goes_on(db: Database) -> None:
    def run(tx: Transaction) -> None:
        keep_all(tx, [came(float(n))._replace(hello="x" * 2000) for n in range(2000)])
        assert [found.at for found in find(tx, "bob@b.example", 2)] == [1999.0, 1998.0]
        assert tx.one("SELECT 1") == (1,)

    await db.write(run)


async def test_the_oldest_are_forgotten_by_time_and_by_number(db: Database) -> None:
    await db.write(keep_all, [came(float(n), mail_id=f"m{n}") for n in range(10)])
    assert await db.write(prune, "receptions", 3.0, 100) == 3
    assert await db.write(prune, "receptions", 0.0, 5) == 2
    assert await db.write(prune, "receptions", 0.0, 5) == 0
    assert [found.id for found in await db.read(find, "bob@b.example", 10)] == ["m9", "m8", "m7", "m6", "m5"]
    assert await db.write(prune, "receptions", 99.0, 5, limit=2) == 2
    assert await db.write(prune, "refusals", 99.0, 5) == 0


async def test_refusals_are_kept_soon_and_a_flood_is_not(tmp_path: FilePath) -> None:
    from support.stores import open_store

    async with open_store(tmp_path) as store:
        refusals = Refusals(store)
        for n in range(MOST_OF_ONE + 5):
            refusals.note(came(float(n), mail_id=""))
        for n in range(MOST):
            refusals.note(Reception(50.0, f"[2001:db8::{n:x}]:25", "ESMTP", "x@x.example", ()))
        assert await store.read(find, "bob@b.example", 100, "refusals") == []
        await refusals.close()
        assert len(await store.read(find, "bob@b.example", 100, "refusals")) == MOST_OF_ONE
        assert len(await store.read(find, "x@x.example", 1000, "refusals")) == MOST - MOST_OF_ONE


def test_the_story() -> None:
    reception = Reception(
        1_700_000_000.0,
        "192.0.2.9:4711",
        "ESMTPSA",
        "alice@example.org",
        ("bob@example.org", "carol@c.example"),
        id="a1",
        hello="laptop",
        tls="TLSv1.3 TLS_AES_256_GCM_SHA384",
        account="alice@example.org",
        size=300,
        message_id="1@example.org",
        verdicts=(Verdict("loop", "pass"), Verdict("my.check", "tag", "X-Seen")),
        kept=(Kept("bob@example.org"), Kept("dave@example.org", failure="it is over its quota")),
        queue=(12,),
    )
    assert tell(reception) == (
        "Message a1 from <alice@example.org> to <bob@example.org>, <carol@c.example>, Message-ID <1@example.org>\n"
        "2023-11-14 22:13:20  Came from 192.0.2.9:4711 (laptop) by ESMTPSA, TLSv1.3 TLS_AES_256_GCM_SHA384,"
        " logged in as alice@example.org, 300 octets.\n"
        "2023-11-14 22:13:20  Check loop: pass.\n"
        "2023-11-14 22:13:20  Check my.check: tag (X-Seen).\n"
        "2023-11-14 22:13:20  Kept in INBOX of bob@example.org.\n"
        "2023-11-14 22:13:20  Not kept for dave@example.org: it is over its quota.\n"
        "2023-11-14 22:13:20  Queued as 12.\n"
    )
