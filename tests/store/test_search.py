"""The search index over every database: whatever a text holds is found, and nothing is lost on the way."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.accounts import new_account, prepared
from support.meetings import Held, meet, processes
from support.pdfs import pdf
from support.stores import open_store

from mailwright.message.fold import fold
from mailwright.pdf.reader import pdf_text
from mailwright.store import arrivals, indexer, mailboxes, messages, reading, search
from mailwright.store.db.api import Database, Transaction
from mailwright.store.grams import ALWAYS, grams, query
from mailwright.store.indexer import Indexer
from mailwright.store.model import ID_BITS
from mailwright.store.notify.local import LocalNotifier
from mailwright.store.store import Store

TEXTS = [
    "Hello World, this is a longer text",
    "你好，世界。我们明天开会讨论预算",
    "こんにちは世界 カタカナ",
    "한국어 메시지입니다",
    "Привет МИР",
    "مرحبا بالعالم",
    "שלום עולם",
    "नमस्ते दुनिया",
    "สวัสดีชาวโลก",
    "naïve café STRASSE straße ﬁne",
    "x@example.org foo.bar-baz 12345",
    "emoji 😀 and 𠜎𠜱 rare",
    "",
]


def mail(text: str, subject: str = "s") -> bytes:
    return (
        f"From: Zoë <zoe@example.org>\r\nSubject: {subject}\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
    ).encode()


@pytest.fixture
async def store(db: Database, tmp_path: Path) -> Store:
    return Store(db, db.blobs, LocalNotifier(), tmp_path)


async def fill(store: Store, account: int, texts: list[str]) -> list[int]:
    box = await store.read(mailboxes.find_mailbox, account, "INBOX")
    made = [await asyncio.to_thread(prepared, store.db, mail(text)) for text in texts]
    return [(await store.write(arrivals.add, account, box.id, one, now=1)).message for one in made]


async def find(store: Store, account: int, needle: str) -> set[int]:
    """What the index and the text together say."""
    folded = fold(needle)
    found = await store.read(search.candidates, account, folded)
    assert found is not None
    hits = set()
    for message in found:
        text = await store.read(search.read_text, message)
        assert text is not None
        if folded in text.body or any(folded in value for _, value in text.headers):
            hits.add(message)
    return hits


async def test_whatever_a_text_holds_is_found(store: Store, account: int) -> None:
    ids = await fill(store, account, TEXTS)
    assert await store.read(search.read_indexed, account) is None
    await store.write(search.begin, account)
    assert await Indexer(store).index(account) == len(TEXTS)
    for needle, expected in (
        ("hello", 0), ("LO WOR", 0), ("世界", 1), ("界。我", 1), ("会", 1), ("カナ", 2), ("메시", 3), ("мир", 4),
        ("عالم", 5), ("עולם", 6), ("दुनिया", 7), ("ชาว", 8), ("CAFÉ", 9), ("strasse", 9), ("fine", 9), ("ve c", 9),
        ("e@example", 10), ("o.bar-b", 10), ("234", 10), ("😀 and", 11), ("𠜱", 11), ("d 𠜎", 11),
    ):  # fmt: skip
        assert ids[expected] in await find(store, account, needle), needle
    assert await find(store, account, "zoë") == set(ids)
    assert await find(store, account, "absent") == set()
    assert await find(store, account, "世人") == set()


async def test_a_needle_without_letters_is_not_for_the_index(store: Store, account: int) -> None:
    await store.write(search.begin, account)
    for needle in ("", " ", "--", "😀"):
        assert await store.read(search.candidates, account, needle) is None


async def test_new_mail_is_added_and_removed_mail_forgotten(store: Store, account: int) -> None:
    await store.write(search.begin, account)
    first = await fill(store, account, ["alpha"])
    worker = Indexer(store)
    await worker.index(account)
    second = await fill(store, account, ["alpha beta"])
    assert await find(store, account, "alpha") == set(first)
    await worker.index(account)
    assert await find(store, account, "alpha") == {*first, *second}
    box = await store.read(mailboxes.find_mailbox, account, "INBOX")
    await store.write(messages.expunge, account, box.id, [1])
    assert await find(store, account, "alpha") == set(second)
    assert await store.read(search.read_text, first[0]) is None


async def test_attached_pdf_files_are_read_once_when_their_message_is_indexed(
    store: Store, account: int
) -> None:
    content = with_pdfs(pdf("Jahresbericht", compress=True), pdf("明年的预算"), b"%PDF- but broken")
    await store.write(search.begin, account)
    box = await store.read(mailboxes.find_mailbox, account, "INBOX")
    ready = await asyncio.to_thread(prepared, store.db, content)
    message = (await store.write(arrivals.add, account, box.id, ready, now=1)).message
    read: list[bytes] = []

    async def read_pdf(data: bytes) -> str:
        read.append(data)
        return await pdf_text(data)

    assert await Indexer(store, read_pdf).index(account) == 1
    assert [data[:5] for data in read] == [b"%PDF-"] * 3
    for needle in ("jahresbericht", "JAHRES", "预算", "明年的预", "see the files"):
        assert await store.read(search.candidates, account, fold(needle)) == {message}, needle
        body = await store.read(search.read_body, message)
        assert body is not None
        assert fold(needle).encode() in body
    assert await store.read(search.candidates, account, "bericht 20") == set()
    assert await store.read(search.check, account, 10) == []
    other = zstandard.compress(b"another text")
    await store.write(lambda tx: tx.run("UPDATE search_texts SET documents = ?", other))
    (fault,) = await store.read(search.check, account, 10)
    assert fault == f"message {message}: tokens are missing in the index"
    await store.write(search.restart, account)
    assert await Indexer(store).index(account) == 1  # by one who cannot read them
    assert await store.read(search.candidates, account, "jahresbericht") == set()
    assert await store.read(search.check, account, 10) == []


async def test_a_pdf_that_has_no_text_leaves_its_message_as_it_is(store: Store, account: int) -> None:
    await store.write(search.begin, account)
    box = await store.read(mailboxes.find_mailbox, account, "INBOX")
    ready = await asyncio.to_thread(prepared, store.db, with_pdfs(b"%PDF- but broken"))
    await store.write(arrivals.add, account, box.id, ready, now=1)
    assert await Indexer(store, pdf_text).index(account) == 1
    assert await store.read(search.candidates, account, "absent") == set()
    assert await store.read(search.check, account, 10) == []


def with_pdfs(*files: bytes) -> bytes:
    """A message to which these are attached, in base64."""
    message = EmailMessage()
    message["Subject"] = "the files"
    message.set_content("see the files")
    for number, file in enumerate(files, 1):
        message.add_attachment(file, "application", "octet-stream", filename=f"{number}.bin")
    return message.as_bytes(policy=SMTP)


async def test_one_account_is_not_found_by_another(store: Store, account: int) -> None:
    other = await store.write(new_account, f"other{next(_numbers)}@example.net")
    for one in (account, other):
        await store.write(search.begin, one)
        await fill(store, one, ["the same words"])
        await Indexer(store).index(one)
    found = await store.read(search.candidates, account, "same")
    assert found is not None
    assert {message >> 36 for message in found} == {account}
    await store.write(search.drop, other)
    assert await store.read(search.candidates, account, "same") == found
    assert await store.read(search.candidates, other, "same") == set()


async def test_a_message_that_is_removed_while_it_is_indexed(store: Store, account: int) -> None:
    await store.write(search.begin, account)
    after = await store.read(search.read_indexed, account)
    assert after is not None
    (message,) = await fill(store, account, ["gone soon"])
    ready = search.prepare(message, search.fold_text(mail("gone soon")))
    box = await store.read(mailboxes.find_mailbox, account, "INBOX")
    await store.write(messages.expunge, account, box.id, None)
    assert await store.write(search.add, account, after, [ready])
    assert await store.read(search.candidates, account, "gone") == set()
    assert await store.read(search.read_indexed, account) == message


async def test_a_message_is_indexed_by_one_process_and_removed_by_another(
    postgres_database: str, tmp_path: Path
) -> None:
    async with processes(postgres_database) as (one, other):
        account = await one.write(new_account, "a@example.org")
        await one.write(search.begin, account)
        (message,) = await fill(Store(one, one.blobs, LocalNotifier(), tmp_path), account, ["gone soon"])
        ready = search.prepare(message, search.fold_text(mail("gone soon")))
        after = account << ID_BITS
        held = Held(search.add)
        first = one.write(held, account, after, [ready])
        assert await meet(held, first, other.write(search.add, account, after, [ready])) == (True, False)
        await one.write(search.restart, account)
        box = await one.read(mailboxes.find_mailbox, account, "INBOX")
        held = Held(search.add)
        first = one.write(held, account, after, [ready])
        await meet(held, first, other.write(messages.expunge, account, box.id, None))
        assert await one.read(search.check, account, 10) == []


async def test_an_index_that_is_begun_anew_meanwhile_gets_all_its_messages(
    store: Store, account: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.write(search.begin, account)
    ids = await fill(store, account, [f"number{n}" for n in range(12)])
    monkeypatch.setattr(indexer, "_BATCH", 5)
    add, calls = search.add, 0

    def begin_anew(tx: Transaction, account: int, after: int, messages: Sequence[search.Indexed]) -> bool:
        nonlocal calls
        calls += 1
        if calls == 2:
            search.drop(tx, account)
            search.begin(tx, account)
        return add(tx, account, after, messages)

    monkeypatch.setattr(search, "add", begin_anew)
    await Indexer(store).index(account)
    assert await store.read(search.check, account, 20) == []
    assert await find(store, account, "number0") == {ids[0]}
    assert await store.read(search.read_indexed, account) == ids[-1]


async def test_field_names_are_indexed_too(store: Store, account: int) -> None:
    ids = await fill(store, account, ["text"])
    await store.write(search.begin, account)
    await Indexer(store).index(account)
    for needle in ("subject", "subject: s", "m: zoë"):
        assert await store.read(search.candidates, account, needle) == set(ids)
    assert await store.read(search.read_header, ids[0]) == [
        ("from", "zoë <zoe@example.org>"),
        ("subject", "s"),
        ("content-type", "text/plain; charset=utf-8"),
    ]
    assert await store.read(search.read_body, ids[0]) == b"text "


async def test_check_names_what_is_wrong_and_restart_mends_it(store: Store, account: int) -> None:
    ids = await fill(store, account, ["one", "two", "three", "four"])
    assert await store.read(search.check, account, 10) == []  # no index, nothing wrong
    await store.write(search.begin, account)
    worker = Indexer(store)
    await worker.index(account)
    assert await store.read(search.check, account, 10) == []
    await store.write(_spoil, ids)
    found = await store.read(search.check, account, 10)
    assert found == [
        f"the index holds the text of message {ids[3] + 1}, which is gone",
        f"message {ids[0]}: the index holds another text",
        f"message {ids[1]}: it is not in the index",
        f"message {ids[2]}: tokens are missing in the index",
        f"message {ids[3]}: the search index is damaged (error determining content size from frame header);"
        " run `mailwright doctor`",
    ]
    assert await store.read(search.check, account, 2) == found[:2]
    await store.write(search.restart, account)
    assert await store.read(search.read_waiting, account, 1) != []
    await worker.index(account)
    assert await store.read(search.check, account, 10) == []
    assert await find(store, account, "three") == {ids[2]}


def _spoil(tx: Transaction, ids: list[int]) -> None:
    other = search.prepare(ids[0], search.fold_text(mail("other")))
    tx.run("UPDATE search_texts SET body = ? WHERE message = ?", other.body, ids[0])
    search.forget(tx, ids[1:2])
    column = "rowid" if tx.dialect.name == "sqlite" else "message"
    tx.run(f"DELETE FROM search_grams WHERE {column} = ?", ids[2])
    tx.run("UPDATE search_texts SET header = ? WHERE message = ?", b"no zstd", ids[3])
    tx.run("INSERT INTO search_texts (message, header, body) VALUES (?, ?, ?)", ids[3] + 1, b"", b"")
    tx.run("UPDATE search_state SET indexed = ?", ids[3] + 1)


async def test_a_needle_that_too_many_may_hold_is_not_for_the_index(
    store: Store, account: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_MAX_CANDIDATES", 2)
    ids = await fill(store, account, ["common rare", "common", "common"])
    await store.write(search.begin, account)
    await Indexer(store).index(account)
    assert await store.read(search.candidates, account, "common") is None
    assert await store.read(search.candidates, account, "rare") == {ids[0]}


async def test_a_large_message_is_folded_like_a_small_one(
    store: Store, account: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "grüße " * 100_000 + "needle"
    (message,) = await fill(store, account, [text])
    row = await store.read(reading.read_message, message, "blob, size")
    assert row is not None
    small = await store.read(search.fold_blob, *row)
    monkeypatch.setattr(search, "_IN_MEMORY", 1000)
    assert await store.read(search.fold_blob, *row) == small
    assert small.body.endswith("needle ")


async def test_the_indexer_follows_the_accounts_that_have_an_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer, "_PAUSE", 0.0)
    async with open_store(tmp_path) as store:
        account = await store.write(new_account, "a@example.org")
        await store.write(search.begin, account)
        await fill(store, account, ["before the start"])
        task = asyncio.create_task(Indexer(store).run())
        await _until_indexed(store, account)
        await fill(store, account, ["and after"])
        await _until_indexed(store, account)
        assert len(await find(store, account, "after")) == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _until_indexed(store: Store, account: int) -> None:
    async with asyncio.timeout(60):
        while await store.read(search.read_waiting, account, 1):
            await asyncio.sleep(0.01)


_numbers = itertools.count()
_alphabet = st.sampled_from("aB1 ._\n好世가あéß\u0301\u200d😀ﬁİ")


@settings(
    deadline=None,
    max_examples=400,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.text(_alphabet, max_size=40), st.data())
def test_the_tokens_of_any_part_are_among_those_of_the_whole(text: str, data: st.DataObject) -> None:
    folded = fold(text)
    start = data.draw(st.integers(0, len(folded)))
    stop = data.draw(st.integers(start, len(folded)))
    wanted = query(folded[start:stop])
    if wanted is None:
        return
    tokens, prefixes = wanted
    have = grams(folded)
    assert set(tokens) <= have
    assert all(any(token.startswith(prefix) for token in have) for prefix in prefixes)


def test_a_text_with_too_many_tokens_is_a_candidate_always() -> None:
    text = "".join(chr(0x4E00 + n % 20_000) + chr(0x4E00 + n * 7 % 19_993) for n in range(60_000))
    assert grams(text) == {ALWAYS}
