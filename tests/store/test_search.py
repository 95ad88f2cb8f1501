"""The search index over every database: whatever a text holds is found, and nothing is lost on the way."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.accounts import prepared

from mailwright.message.fold import fold
from mailwright.store import mailboxes, messages, search
from mailwright.store.db.api import Database
from mailwright.store.grams import ALWAYS, grams, query
from mailwright.store.indexer import Indexer
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
    return [
        (await store.write(messages.add, account, box.id, prepared(store.db, mail(text)), now=1)).message
        for text in texts
    ]


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
    indexer = Indexer(store)
    await indexer.index(account)
    second = await fill(store, account, ["alpha beta"])
    assert await find(store, account, "alpha") == set(first)
    await indexer.index(account)
    assert await find(store, account, "alpha") == {*first, *second}
    box = await store.read(mailboxes.find_mailbox, account, "INBOX")
    await store.write(messages.expunge, account, box.id, [1])
    assert await find(store, account, "alpha") == set(second)
    assert await store.read(search.read_text, first[0]) is None


async def test_one_account_is_not_found_by_another(store: Store, account: int) -> None:
    from support.accounts import new_account

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
    (message,) = await fill(store, account, ["gone soon"])
    ready = search.prepare(message, search.fold_text(mail("gone soon")))
    box = await store.read(mailboxes.find_mailbox, account, "INBOX")
    await store.write(messages.expunge, account, box.id, None)
    await store.write(search.add, account, message, [ready])
    assert await store.read(search.candidates, account, "gone") == set()
    assert await store.read(search.read_indexed, account) == message


_numbers = itertools.count()
_alphabet = st.sampled_from("aB1 ._\n好世가あéß\u0301\u200d😀ﬁİ")


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
