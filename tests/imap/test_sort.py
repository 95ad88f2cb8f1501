"""SORT and its keys beside plain Python."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.stores import open_store

from imap.asking import fill, logged_in
from imap.house import NOW
from imap.oracle import Mail, Seen, write
from mailwright.imap.sort import Order, casemap
from mailwright.imap.syntax.sort import Criterion
from mailwright.message.parser import parse_message
from mailwright.message.summary import summarize
from mailwright.store.store import Store

PEOPLE = ("ann", "Bob", "bob", "CAY", "d.e")
SUBJECTS = ("apples", "Re: Apples", "[x] bananas", "Bananas (fwd)", "Ärger", "arger", "", "_", "z", "世界")
BASES = dict(
    zip(
        SUBJECTS,
        ("APPLES", "APPLES", "BANANAS", "BANANAS", "A\u0308RGER", "ARGER", "", "_", "Z", "世界"),
        strict=True,
    )
)


@st.composite
def letters(draw: st.DrawFn) -> Mail:
    fields = [(name, f"{draw(st.sampled_from(PEOPLE))}@example.org") for name in ("From", "To", "Cc")]
    fields = draw(st.lists(st.sampled_from(fields), unique_by=lambda pair: pair[0]))
    fields.append(("Subject", draw(st.sampled_from(SUBJECTS))))
    sent = draw(st.none() | st.integers(-5, 5).map(lambda n: datetime.fromtimestamp(NOW + 600 * n, UTC)))
    body = "x" * draw(st.integers(0, 3))
    internal = NOW + 600 * draw(st.integers(-5, 5))
    content = write(fields, body, "8bit", sent)
    return Mail(tuple(fields), body, "8bit", frozenset(), frozenset(), internal, sent, content)


def first(mail: Mail, name: str) -> str:
    return next((value for known, value in mail.fields if known == name), "")


KEYS: dict[str, Callable[[Mail], Any]] = {
    "ARRIVAL": lambda mail: mail.internal,
    "DATE": lambda mail: mail.internal if mail.sent is None else int(mail.sent.timestamp()),
    "SIZE": lambda mail: len(mail.content),
    "SUBJECT": lambda mail: BASES[first(mail, "Subject")],
    "FROM": lambda mail: first(mail, "From").partition("@")[0].upper(),
    "TO": lambda mail: first(mail, "To").partition("@")[0].upper(),
    "CC": lambda mail: first(mail, "Cc").partition("@")[0].upper(),
    "DISPLAYFROM": lambda mail: first(mail, "From").upper(),
    "DISPLAYTO": lambda mail: first(mail, "To").upper(),
}


def by(key: str) -> Callable[[Seen], Any]:
    return lambda seen: KEYS[key](seen.mail)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def store(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Store]:
    async with open_store(tmp_path_factory.mktemp("sort")) as opened:
        yield opened


@pytest.mark.asyncio(loop_scope="module")
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(letters(), max_size=8),
    st.lists(
        st.lists(st.tuples(st.sampled_from(sorted(KEYS)), st.booleans()), min_size=1, max_size=4), min_size=8
    ),
)
async def test_sort_as_plain_python_sorts(
    store: Store, mail: list[Mail], orders: list[list[tuple[str, bool]]]
) -> None:
    account, every = await fill(store, mail, [0] if mail else [])
    async with logged_in(store, account) as client:
        for criteria in orders:
            expected: list[Seen] = list(every)
            for key, reverse in reversed(criteria):
                expected = sorted(expected, key=by(key), reverse=reverse)
            words = " ".join(f"REVERSE {key}" if reverse else key for key, reverse in criteria)
            uids = [seen.uid for seen in expected]
            assert await client.ask(f"UID SORT ({words}) UTF-8 ALL".encode()) == uids, words
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr("mailwright.imap.search.order._DEAR", 0)
                for some in (range(2, 6), range(5, 8), range(1, 10)):  # what is new is put among the others
                    command = f"UID SORT ({words}) UTF-8 UID {some[0]}:{some[-1]}"
                    assert await client.ask(command.encode()) == [uid for uid in uids if uid in some], command


def test_texts_are_compared_as_unicode_casemap_does() -> None:
    assert casemap("ab_Z") == "AB_Z"
    assert casemap("ß") == "ß"  # its title case is two letters, which no simple mapping gives
    assert casemap("ǆ") == casemap("Ǆ") == casemap("ǅ") == "Dz\u030c"
    assert casemap("é") == casemap("E\u0301")
    assert sorted(["b", "_", "A", "é", "e"], key=casemap) == ["A", "b", "e", "é", "_"]


@pytest.mark.parametrize(
    ("to", "key"),
    [
        ("Ann <b.c@x>, d@y", "B.C"),
        ("undisclosed-recipients:;", "UNDISCLOSED-RECIPIENTS"),
        ("My friends: a@b;", "MY FRIENDS"),
        ("=?utf-8?q?=C3=A4?=: a@b;", "Ä"),
        ("nobody", ""),
        (";", ""),
    ],
)
def test_the_address_that_is_compared(to: str, key: str) -> None:
    assert summarize(parse_message(f"To: {to}\n\n".encode())).recipients == key


@pytest.mark.parametrize(
    ("envelope", "name"),
    [
        (b'(NIL NIL (("Ann" NIL "a" "x")) NIL NIL NIL NIL NIL NIL NIL)', "ANN"),
        (b'("(" "\\")" ((NIL NIL "a" "x")("B" NIL "b" "x")) NIL NIL NIL NIL NIL NIL NIL)', "A@X"),
        (b'(NIL NIL (("a \\"b\\" \\\\" NIL "a" "x")) NIL NIL NIL NIL NIL NIL NIL)', 'A "B" \\'),
        (b'(NIL NIL ((NIL NIL "group" NIL)(NIL NIL NIL NIL)) NIL NIL NIL NIL NIL NIL NIL)', "GROUP"),
        (b'(NIL NIL (("=?utf-8?q?=C3=A4?=" NIL "a" "x")) NIL NIL NIL NIL NIL NIL NIL)', "A\u0308"),
        (b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)", ""),
        (b"()", ""),
    ],
)
def test_the_name_that_is_displayed(envelope: bytes, name: str) -> None:
    order = Order([Criterion("DISPLAYFROM")])
    order.add([(envelope,)])
    assert order._values == [[name]]
