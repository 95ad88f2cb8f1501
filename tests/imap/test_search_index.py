"""SEARCH beside plain Python over the same mail, with no index, a part of one and all of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.stores import open_store

from imap.asking import fill, logged_in
from imap.oracle import PROGRAMS, Mail, Program, literal, mailboxes, plain
from mailwright.imap.search import find, rows, texts
from mailwright.imap.syntax.search import InText
from mailwright.store import messages, search
from mailwright.store.db.api import Row, Transaction
from mailwright.store.indexer import Indexer
from mailwright.store.mailboxes import find_mailbox
from mailwright.store.store import Store


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def store(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Store]:
    async with open_store(tmp_path_factory.mktemp("search")) as opened:
        yield opened


async def index_some(store: Store, account: int, count: int) -> None:
    await store.write(search.begin, account)
    if not count:
        return
    after = await store.read(search.read_indexed, account)
    waiting = await store.read(search.read_waiting, account, count)
    ready = [
        search.prepare(message, await store.read(search.fold_blob, blob, size))
        for message, blob, size in waiting
    ]
    if ready:
        assert after is not None
        assert await store.write(search.add, account, after, ready)


async def stages(store: Store, account: int, count: int) -> AsyncIterator[str]:
    """Takes the index from nothing to all, and then back to nothing while it is in use."""
    yield "none"
    await index_some(store, account, count)
    yield "part"
    await Indexer(store).index(account)
    yield "all"
    await store.write(search.restart, account)
    await index_some(store, account, count)
    yield "again"


_settings = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.asyncio(loop_scope="module")
@_settings
@given(mailboxes(), st.lists(PROGRAMS, min_size=1, max_size=12), st.integers(0, 7))
async def test_search_finds_what_plain_python_finds(
    store: Store, mailbox: tuple[list[Mail], list[int]], programs: list[Program], indexed: int
) -> None:
    account, every = await fill(store, *mailbox)
    async with logged_in(store, account) as client:
        async for stage in stages(store, account, indexed):
            for text, test in programs:
                expected = [seen.uid for seen in every if test(seen)]
                command = b"SEARCH CHARSET UTF-8 " + text
                assert await client.ask(b"UID " + command) == expected, (stage, text)
                if stage == "part":
                    assert await client.ask(command) == expected, text
    assert await store.read(search.check, account, 10) == []


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("stage", ["none", "all"])
async def test_in_small_portions_too(store: Store, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BLOCK", 3)
    monkeypatch.setattr(rows, "_SLICE", 0.0)
    monkeypatch.setattr(find, "PROGRESS", 0.0)
    mail = [plain(f"word{n % 3} common") for n in range(20)]
    account, _ = await fill(store, mail, [0, 5])
    if stage == "all":
        await index_some(store, account, 100)
    async with logged_in(store, account) as client:
        assert await client.ask(b"UID SEARCH BODY word1") == [2, 5, 8, 11, 14, 17, 20]
        assert await client.ask(b"SEARCH NOT BODY word0") == [
            *[n for n in range(1, 21) if n % 3 != 1],
            22,
        ]
        assert await client.ask(b"UID SEARCH 3:21 BODY common UNSEEN") == list(range(3, 22))
        assert client.heard[0].startswith(b'* OK [INPROGRESS ("t" 3 22)] ')
        assert await client.ask(b"UID SEARCH UNSEEN") == list(range(1, 23))
        assert len(client.heard) == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_few_hits_in_a_large_mailbox_are_looked_up(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail = [plain("needle 世界" if n in (7, 170) else f"hay {n}") for n in range(200)]
    account, _ = await fill(store, mail, [7])
    await index_some(store, account, 190)
    read: list[int] = []
    original = search.fold_blob

    def counted(tx: Transaction, blob: int, size: int) -> search.FoldedText:
        read.append(blob)
        return original(tx, blob, size)

    monkeypatch.setattr(search, "fold_blob", counted)
    async with logged_in(store, account) as client:
        assert await client.ask(b"UID SEARCH BODY needle") == [8, 171, 201]
        assert await client.ask(b"UID SEARCH BODY " + literal("世界")) == [8, 171, 201]
        assert len(read) == 2 * 10  # what is not indexed, and nothing else
        assert await client.ask(b"UID SEARCH OR BODY needle SUBJECT nothing") == [8, 171, 201]
        assert await client.ask(b"UID SEARCH 1:100 BODY needle") == [8]
        assert await client.ask(b"UID SEARCH SEEN BODY needle") == []


@pytest.mark.asyncio(loop_scope="module")
async def test_a_damaged_index_is_found_by_check_and_mended_by_restart(store: Store) -> None:
    account, _ = await fill(store, [plain("one"), plain("two"), plain("three")], [])
    await index_some(store, account, 3)
    assert await store.read(search.check, account, 10) == []
    ids = [message for message, *_ in await store.read(all_messages, account)]
    await store.write(spoil, ids)
    found = await store.read(search.check, account, 10)
    assert [text.partition(": ")[2] for text in found] == [
        "the index holds another text",
        "it is not in the index",
        "tokens are missing in the index",
    ]
    assert await store.read(search.check, account, 1) == found[:1]
    await store.write(search.restart, account)
    async with logged_in(store, account) as client:
        assert await client.ask(b"UID SEARCH BODY one") == [1]
        await Indexer(store).index(account)
        assert await store.read(search.check, account, 10) == []
        assert await client.ask(b"UID SEARCH BODY three") == [3]
    box = await store.read(find_mailbox, account, "INBOX")
    await store.write(messages.expunge, account, box.id, None)
    assert await store.read(search.check, account, 10) == []


def all_messages(tx: Transaction, account: int) -> list[Row]:
    return tx.all("SELECT id FROM messages WHERE id >> 36 = ? ORDER BY id", account)


def spoil(tx: Transaction, ids: list[int]) -> None:
    ready = search.prepare(ids[0], search.fold_text(plain("other").content))
    tx.run("UPDATE search_texts SET body = ? WHERE message = ?", ready.body, ids[0])
    search.forget(tx, ids[1:2])
    tx.run("DELETE FROM search_grams WHERE rowid = ?", ids[2])


@pytest.mark.asyncio(loop_scope="module")
async def test_a_search_whose_needle_many_messages_may_hold(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_MAX_CANDIDATES", 4)
    account, _ = await fill(store, [plain(f"many {n}") for n in range(9)], [])
    await index_some(store, account, 9)
    async with logged_in(store, account) as client:
        assert await client.ask(b"UID SEARCH BODY many") == list(range(1, 10))
        assert await client.ask(b"UID SEARCH BODY many BODY 5") == [6]
        assert await client.ask(b"UID SEARCH OR BODY none BODY 7") == [8]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_program_of_the_largest_size(store: Store) -> None:
    account, _ = await fill(store, [plain("a"), plain("b")], [])
    async with logged_in(store, account) as client:
        assert await client.ask(b"UID SEARCH " + b" ".join([b"UNSEEN"] * 2000)) == [1, 2]
        assert await client.ask(b"UID SEARCH " + b"OR SEEN " * 49 + b"UNSEEN") == [1, 2]
        some = ",".join(str(n) for n in range(1, 4000, 2))
        assert await client.ask(f"UID SEARCH UID {some}".encode()) == [1]
        assert await client.ask(f"UID SEARCH NOT UID {some}".encode()) == [2]
        assert await client.ask(f"UID SEARCH OR UID {some} BODY b".encode()) == [1, 2]


@pytest.mark.asyncio(loop_scope="module")
async def test_many_needles_keep_a_bounded_number_of_candidates(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "_MOST", 5)
    account, _ = await fill(store, [plain(f"many needles {n}") for n in range(8)], [])
    await index_some(store, account, 8)
    every = b"OR BODY many OR BODY needles OR BODY nothing TEXT "
    async with logged_in(store, account) as client:
        assert await client.ask(b"UID SEARCH NOT BODY many") == []
        assert await client.ask(b"UID SEARCH NOT (" + every + b'" 3")') == []
        assert await client.ask(b'UID SEARCH BODY many BODY needles BODY " 3"') == [4]
    hits = await store.read(texts.read_hits, account, (InText("body", "many"), InText("body", "needles")))
    assert hits is not None
    assert [found is None for found in hits.candidates.values()] == [False, True]
