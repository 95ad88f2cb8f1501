"""What a returning client is told (RFC 7162): from the log and without it; the arguments it may send."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.accounts import new_account, prepared
from support.stores import open_store

from imap.test_streaming import Home, reply
from mailwright.imap.resync import Since, read_resync, read_since
from mailwright.imap.selected import read_news_and_uids
from mailwright.imap.syntax.lexer import BadSyntax, Lexer
from mailwright.imap.syntax.notify import parse_notify
from mailwright.imap.syntax.select import Match, Resync, parse_select
from mailwright.imap.syntax.sequence import gaps, intersect, to_ranges
from mailwright.imap.view import Run, window_of_runs
from mailwright.store import arrivals, changes, messages
from mailwright.store.db.api import Transaction
from mailwright.store.errors import StoreFailed
from mailwright.store.flags import store_flags
from mailwright.store.mailboxes import find_mailbox
from mailwright.store.store import Store

MANY = settings(max_examples=150, deadline=None)
_WORDS = st.sampled_from(
    [
        "INBOX",
        "(",
        ")",
        "QRESYNC",
        "CONDSTORE",
        "1",
        "5:9",
        "1:*",
        "*",
        "$",
        "4294967295",
        "1:4294967295",
        "0",
        "SET",
        "STATUS",
        "NONE",
        "personal",
        "selected",
        "selected-delayed",
        "subtree",
        "mailboxes",
        "MessageNew",
        "MessageExpunge",
        "FlagChange",
        "FLAGS",
        "BODY.PEEK[]",
        "{3}",
    ]
)


@pytest_asyncio.fixture
async def store(tmp_path: Any) -> AsyncIterator[Store]:
    async with open_store(tmp_path) as opened:
        yield opened


def prune(tx: Transaction, account: int) -> None:
    tx.run("DELETE FROM changes WHERE account = ? AND modseq < 15", account)


@pytest.mark.asyncio
async def test_what_the_log_forgot_is_found_from_what_exists(store: Store) -> None:
    account = await store.write(new_account, "resync@example.org")
    inbox = await store.read(find_mailbox, account, "INBOX")
    for number in range(10):
        message = prepared(store.db, b"%d" % number)
        await store.write(arrivals.add, account, inbox.id, message, now=1)
    known = await store.read(changes.read_modseq, account)
    await store.write(messages.expunge, account, inbox.id, [2])
    before = await store.read(changes.read_modseq, account)
    await store.write(messages.expunge, account, inbox.id, [4, 5, 9])
    await store.write(store_flags, account, inbox.id, [1, 7], "add", 1)
    box = await store.read(find_mailbox, account, "INBOX")
    key = (account, box.id)
    whole = await store.read(read_since, *key, before, box.uidnext)
    assert whole == Since([(4, 5), (9, 9)], [(1, 1), (7, 7)])
    resync = Resync(box.uidvalidity, before, [(5, 8)], [])
    assert await store.read(read_resync, account, box, resync) == Since([(5, 5)], [(7, 7)])
    assert await store.read(read_resync, account, box, resync._replace(uidvalidity=1)) is None

    await store.write(prune, account)
    assert not await store.read(changes.reaches, account, known - 5)
    found = await store.read(read_since, *key, known - 5, box.uidnext)
    assert found.vanished == [(2, 2), (4, 5), (9, 9)]
    assert found.changed[0] == (1, 1)
    # The client knows that message 2 is UID 3, so nothing below has gone since.
    matched = await store.read(read_since, *key, known - 5, box.uidnext, [Match(1, 1, 1), Match(2, 3, 1)])
    assert matched.vanished == [(4, 5), (9, 9)]


@pytest.mark.asyncio
async def test_a_client_that_knows_all_is_told_nothing_even_without_a_log(store: Store) -> None:
    account = await store.write(new_account, "resync@example.org")
    inbox = await store.read(find_mailbox, account, "INBOX")
    await store.write(arrivals.add, account, inbox.id, prepared(store.db, b"x"), now=1)
    await store.write(messages.expunge, account, inbox.id, [1])
    modseq = await store.read(changes.read_modseq, account)
    assert await store.read(read_since, account, inbox.id, modseq, 2) == Since([], [])
    assert await store.read(read_since, account, inbox.id, modseq + 99, 2) == Since([], [])


@pytest.mark.asyncio
async def test_a_select_that_fails_in_its_midst_selects_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await store.write(new_account, "resync@example.org")
    inbox = await store.read(find_mailbox, account, "INBOX")
    await store.write(arrivals.add, account, inbox.id, prepared(store.db, b"x"), now=1)
    stream, session = Home(store, account).connect()
    await stream.line()
    read = store.db.read

    async def fail_to_load(work: Any, *args: Any) -> Any:
        if work is read_news_and_uids:
            raise StoreFailed("the store does not answer")
        return await read(work, *args)

    with monkeypatch.context() as patch:
        patch.setattr(store.db, "read", fail_to_load)
        stream.feed(b"a ENABLE QRESYNC\r\nb SELECT INBOX (QRESYNC (%d 1))\r\n" % inbox.uidvalidity)
        await reply(stream, b"a")
        while (said := await stream.line()).startswith(b"*"):
            pass
        assert said.startswith(b"b NO [UNAVAILABLE] ")
    stream.feed(b"c FETCH 1 UID\r\n")
    assert (await stream.line()).startswith(b"c BAD ")
    stream.lose()
    await session


@pytest.mark.asyncio
async def test_what_vanishes_while_a_client_returns_is_told_before_the_reply(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await store.write(new_account, "resync@example.org")
    inbox = await store.read(find_mailbox, account, "INBOX")
    for number in range(3):
        message = prepared(store.db, b"%d" % number)
        await store.write(arrivals.add, account, inbox.id, message, now=1)
    stream, session = Home(store, account).connect()
    await stream.line()
    read = store.read

    async def read_and_expunge(operation: Callable[..., Any], *args: Any) -> Any:
        found = await read(operation, *args)
        if operation is read_news_and_uids:
            async with open_store(tmp_path) as theirs:  # so no notification comes
                await theirs.write(messages.expunge, account, inbox.id, [2])
        return found

    monkeypatch.setattr(store, "read", read_and_expunge)
    stream.feed(b"a ENABLE QRESYNC\r\nb SELECT INBOX (QRESYNC (%d 1))\r\n" % inbox.uidvalidity)
    await reply(stream, b"a")
    said = []
    while not (line := await stream.line()).startswith(b"b "):
        said.append(line)
    shown = [line.split()[1] for line in said if b" FETCH (" in line]
    assert (b"* 3 EXISTS" in said, shown, b"* VANISHED 2" in said) == (True, [b"1", b"3"], True)
    stream.lose()
    await session


@pytest.mark.asyncio
@pytest.mark.parametrize("asked", [b"(FLAGS MODSEQ)", b"FLAGS"])
async def test_no_news_tell_less_than_what_was_shown(store: Store, tmp_path: Path, asked: bytes) -> None:
    account = await store.write(new_account, "resync@example.org")
    inbox = await store.read(find_mailbox, account, "INBOX")
    await store.write(arrivals.add, account, inbox.id, prepared(store.db, b"x"), now=1)
    home = Home(store, account)
    stream, running = home.connect()
    await stream.line()
    stream.feed(b"a SELECT INBOX (CONDSTORE)\r\nb FETCH 1 UID\r\n")
    await reply(stream, b"b")
    before = await store.read(changes.read_modseq, account)
    await store.write(store_flags, account, inbox.id, [1], "add", 1)  # of this the session hears
    await home.service.journal.news((account, inbox.id), before, 0)
    async with open_store(
        tmp_path
    ) as theirs:  # and of this, as of what another process does, it does not yet
        await theirs.write(store_flags, account, inbox.id, [1], "add", 4)
    stream.feed(b"c FETCH 1 %b\r\n" % asked)
    while not (line := await stream.line()).startswith(b"c "):
        assert b"\\Flagged \\Seen" in line
    stream.lose()
    await running


class TestSyntax:
    def test_everything_a_client_knows(self) -> None:
        args = parse_select(
            Lexer(b"INBOX (CONDSTORE QRESYNC (67890007 20050715194045000 41:45,9 (1:3,7 9,41:43)))")
        )
        assert (args.mailbox, args.condstore) == ("INBOX", True)
        matches = [Match(1, 9, 1), Match(2, 41, 2), Match(7, 43, 1)]
        assert args.resync == Resync(67890007, 20050715194045000, [(9, 9), (41, 45)], matches)

    @MANY
    @given(st.lists(_WORDS, max_size=14), st.sampled_from([" ", ""]))
    @example(["INBOX", "(QRESYNC", "(1", "1", "(1:4294967295", "2:4294967295)))"], " ")
    def test_nothing_but_bad_syntax_is_raised(self, words: list[str], between: str) -> None:
        for parse in (parse_select, parse_notify):
            try:
                parse(Lexer(between.join(words).encode()))
            except BadSyntax as error:
                assert error.text  # noqa: PT017


class TestRanges:
    @MANY
    @given(st.sets(st.integers(1, 80)), st.sets(st.integers(1, 80)))
    def test_intersect(self, left: set[int], right: set[int]) -> None:
        found = intersect(to_ranges(sorted(left)), to_ranges(sorted(right)))
        assert [n for low, high in found for n in range(low, high + 1)] == sorted(left & right)

    @MANY
    @given(st.sets(st.integers(1, 80)))
    def test_gaps(self, numbers: set[int]) -> None:
        found = gaps(sorted(numbers), 90)
        assert [n for low, high in found for n in range(low, high + 1)] == sorted(set(range(1, 91)) - numbers)

    @MANY
    @given(st.lists(st.integers(1, 6), max_size=5), st.integers(1, 25), st.integers(1, 25), st.booleans())
    def test_a_window_of_runs_is_a_window_of_the_list(
        self, sizes: list[int], first: int, last: int, from_end: bool
    ) -> None:
        runs, number, uid = [], 1, 1
        for size in sizes:
            runs.append(Run(number, array("I", range(uid, uid + size))))
            number, uid = number + size + 2, uid + size + 5
        every = [(run.number + n, uid) for run in runs for n, uid in enumerate(run.uids)]
        low, high = sorted((first, last))
        wanted = every[::-1][low - 1 : high][::-1] if from_end else every[low - 1 : high]
        found = window_of_runs(runs, (-low, -high) if from_end else (low, high))
        assert [(run.number + n, uid) for run in found for n, uid in enumerate(run.uids)] == wanted
