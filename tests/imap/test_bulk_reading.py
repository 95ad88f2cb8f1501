"""What the database does for many messages at once is what is done for them one by one, over both databases."""

from __future__ import annotations

import itertools
import operator
import random
from array import array
from collections.abc import Callable, Sequence

import pytest
from support.accounts import new_account, prepared

from mailwright.imap.fetch.lines import lie_close
from mailwright.imap.fetch.plan import Plan
from mailwright.imap.fetch.read import CONTENT_OCTETS, read_contents, read_lines, read_slice
from mailwright.imap.search.program import Plan as SearchPlan
from mailwright.imap.search.program import make_plan, prepare
from mailwright.imap.search.rows import decide, read_block, read_packed, start
from mailwright.imap.syntax import search as keys
from mailwright.imap.syntax.fetch import Attribute, parse_fetch
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.view import Pool, Run, View
from mailwright.store import arrivals, messages, reading
from mailwright.store.db.api import Database, Transaction
from mailwright.store.incoming import prepare_small
from mailwright.store.mailboxes import find_mailbox
from mailwright.store.model import Place

NOW = 1_700_000_000
COUNT = 300
UID, FLAGS, MODSEQ = (Attribute(name, name.encode()) for name in ("UID", "FLAGS", "MODSEQ"))


async def fill(db: Database, gaps: bool, kinds: int = 32) -> tuple[int, int]:
    """A mailbox of messages of so many kinds of flags, some with keywords; its key."""
    account = await db.write(new_account, "ann@example.org")
    inbox = (await db.read(find_mailbox, account, "INBOX")).id
    rng = random.Random(5)
    made = [
        arrivals.Arrival(
            prepared(db, b"%d" % n),
            n % kinds,
            rng.choice(["", "", "$Work", "$Forwarded $Work"]),
            NOW + rng.randrange(86400 * 30),
        )
        for n in range(COUNT)
    ]

    def put(tx: Transaction) -> None:
        arrivals.add_all(tx, account, inbox, made, now=NOW)
        # Sent within two days of the day that is searched for, or at no time that is known.
        for n, (message,) in enumerate(tx.all("SELECT message FROM places ORDER BY uid")):
            sent, zone = _sent(n)
            tx.run("UPDATE messages SET sent_at = ?, sent_zone = ? WHERE id = ?", sent, zone, message)

    await db.write(put)
    if gaps:
        await db.write(messages.expunge, account, inbox, [*range(3, 90, 9), *range(200, 230)])
    return account, inbox


def _sent(n: int) -> tuple[int, int] | tuple[None, None]:
    """When the nth message was sent, in one of many zones."""
    return (NOW + (n - COUNT // 2) * 1200, (n * 5 % 27 - 12) * 60) if n % 7 else (None, None)


async def view_of(db: Database, key: tuple[int, int]) -> tuple[View, Run]:
    uids = await db.read(reading.read_uids, *key)
    view = View(key, Pool(), len(uids), COUNT + 1, 1)
    view.load(uids, 1)
    return view, Run(1, array("I", uids))


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("kinds", [2, 32])
async def test_lines_and_rows_say_the_same(db: Database, gaps: bool, kinds: int) -> None:
    key = await fill(db, gaps, kinds)
    view, run = await view_of(db, key)
    runs = [Run(run.number, run.uids[:100]), Run(run.number + 120, run.uids[120:])]
    for recents, attributes, by_uid in itertools.product(
        [(), ((5, 40), (100, 100), (250, 400)), ((1, 300),)],
        [[UID, FLAGS], [FLAGS], [UID, FLAGS, MODSEQ], [MODSEQ]],
        [False, True],
    ):
        view.recents = recents
        plan = Plan(attributes, view.recents, by_uid=by_uid)
        assert plan.line
        lines = await db.read(read_lines, key, runs, plan)
        rows = await db.read(read_slice, key, runs, plan)
        assert lines[1:] == rows[1:], plan
        assert _sorted(lines.pieces) == _sorted(rows.pieces), plan
        assert bool(lines.keywords) == plan.shows_flags


def _sorted(pieces: Sequence[object]) -> list[bytes]:
    octets = [piece for piece in pieces if isinstance(piece, bytes)]
    assert len(octets) == len(pieces)
    return sorted(b"".join(octets).splitlines())


async def test_lines_tell_of_messages_that_are_gone(db: Database) -> None:
    key = await fill(db, gaps=False)
    view, run = await view_of(db, key)
    await db.write(messages.expunge, *key, [17])
    found = await db.read(read_lines, key, [run], Plan([UID, FLAGS], view.recents))
    assert (found.covered, found.missing) == (COUNT, True)
    assert len(_sorted(found.pieces)) == COUNT - 1
    deleted = key[0], key[1] + 1000
    found = await db.read(read_lines, deleted, [run], Plan([UID, FLAGS], view.recents))
    assert (_sorted(found.pieces), found.missing) == ([], True)


@pytest.mark.parametrize(
    "asked", [b"(UID FLAGS)", b"(UID FLAGS ENVELOPE)", b"(UID FLAGS BODY[])", b"BODY[HEADER]"]
)
async def test_of_a_message_that_is_gone_nothing_is_told(db: Database, asked: bytes) -> None:
    key = await fill(db, gaps=False)
    await db.write(messages.expunge, *key, [17])
    plan = Plan(parse_fetch(Lexer(b"17 " + asked)).attributes)
    read = read_contents if plan.contents else read_slice
    found = await db.read(read, key, [Run(17, array("I", [17]))], plan)
    assert (_sorted(found.pieces), found.covered, found.missing) == ([], 1, True)


def test_lines_are_for_messages_that_lie_close() -> None:
    assert lie_close([Run(1, array("I", range(1, 100)))])
    assert not lie_close([Run(1, array("I", range(1, 400, 2)))])
    assert not lie_close([Run(n, array("I", [n])) for n in range(1, 400, 2)])


@pytest.mark.parametrize("gaps", [False, True])
async def test_uids(db: Database, gaps: bool) -> None:
    key = await fill(db, gaps)
    rows = await db.read(reading.read_range, *key)
    every = [place.uid for place in rows]
    assert list(await db.read(reading.read_uids, *key)) == every
    assert list(await db.read(reading.read_uids, *key, 50, 220)) == [u for u in every if 50 <= u <= 220]
    assert list(await db.read(reading.read_uids, *key, COUNT + 1)) == []
    apart = every[::3]
    assert await db.read(reading.read_places, *key, apart) == rows[::3]


@pytest.mark.parametrize("gaps", [False, True])
async def test_the_first_unseen_and_keywords(db: Database, gaps: bool) -> None:
    key = await fill(db, gaps)
    places = await db.read(reading.read_range, *key)
    unseen = [(place.uid, n) for n, place in enumerate(reversed(places), 1) if not place.flags & 1]
    for nth in (1, 5, len(unseen)):
        assert await db.read(reading.find_unseen, *key, nth, 1000) == unseen[nth - 1]
    assert await db.read(reading.find_unseen, *key, 5, unseen[4][1] - 1) == (0, 0)
    assert await db.read(reading.read_newest_keywords, *key, 1000) == {place.keywords for place in places}


WORK = keys.HasKeyword("$work")


@pytest.mark.parametrize("kinds", [1, 3, 32])
@pytest.mark.parametrize("many", [0, 20, 100])
async def test_searches_for_flags_and_keywords(
    db: Database, kinds: int, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailwright.imap.search.rows._MANY_MARKS", many)
    key = await fill(db, True, kinds)
    places = await db.read(reading.read_range, *key)
    seen, answered, late = keys.HasFlag(1), keys.HasFlag(2), keys.Resolved(((150, COUNT),))

    def of(tx: Transaction, *program: keys.Key) -> tuple[list[int], list[int]]:
        plan = make_plan(prepare(keys.And(program), {}), COUNT, NOW, ())
        with_modseq = make_plan(prepare(keys.And(program), {}), COUNT, NOW, (), True)
        return read_packed(tx, key, plan, COUNT).uids, _search_rows(tx, key, with_modseq)

    cases: list[tuple[tuple[keys.Key, ...], Callable[[Place], object]]] = [
        ((seen,), lambda place: place.flags & 1),
        ((keys.Not(seen),), lambda place: not place.flags & 1),
        ((keys.HasFlag(64),), lambda place: False),
        ((keys.Not(keys.HasFlag(64)),), lambda place: True),
        ((keys.Not(seen), keys.Not(answered)), lambda place: not place.flags & 3),
        ((keys.Or(seen, WORK),), lambda place: place.flags & 1 or "$Work" in place.keywords),
        ((WORK, late), lambda place: "$Work" in place.keywords and place.uid >= 150),
        ((seen, keys.Or(WORK, late)), lambda p: p.flags & 1 and ("$Work" in p.keywords or p.uid >= 150)),
        ((seen, keys.Not(keys.All())), lambda place: False),
    ]
    for program, fits in cases:
        wanted = [place.uid for place in places if fits(place)]
        assert await db.read(of, *program) == (wanted, wanted)


@pytest.mark.parametrize("order", ["<", ">=", "="])
@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("negated", [False, True])
async def test_searches_for_the_day_of_sending(
    db: Database, order: str, gaps: bool, negated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailwright.imap.search.rows.BLOCK", 70)
    key = await fill(db, gaps)
    today = NOW // 86400
    compare = {"<": operator.lt, ">=": operator.ge, "=": operator.eq}[order]
    wanted = []
    for place in await db.read(reading.read_range, *key):
        sent, zone = _sent(place.uid - 1)
        fits = sent is not None and zone is not None and compare((sent + 60 * zone) // 86400, today)
        if fits != negated and not place.flags & 2:
            wanted.append(place.uid)
    day: keys.Key = keys.OnDay("sent", order, today)
    if negated:
        day = keys.Not(day)
    undeleted = keys.Not(keys.HasFlag(2))
    program = prepare(keys.And((day, undeleted)), {})
    # What only a row can tell makes the other key one that is looked at row by row.
    by_row = prepare(keys.And((keys.Or(day, keys.And((day, keys.Recent()))), undeleted)), {})

    def search(tx: Transaction) -> tuple[list[int], list[int], list[int]]:
        packed: list[int] = []
        last = COUNT
        while last:
            uids, last = read_packed(tx, key, make_plan(program, COUNT, NOW, ()), last)
            packed = uids + packed
        looked_at = [_search_rows(tx, key, make_plan(one, COUNT, NOW, (), True)) for one in (program, by_row)]
        return packed, looked_at[0], looked_at[1]

    assert wanted
    assert await db.read(search) == (wanted, wanted, wanted)


def _search_rows(tx: Transaction, key: tuple[int, int], plan: SearchPlan) -> list[int]:
    hits, chosen = start(tx, key, plan, COUNT)
    found: list[int] = []
    last = COUNT
    while last:
        block = read_block(tx, key, plan, chosen, last)
        rows = block.rows
        if plan.rest is not None:
            rows = []
            looked = 0
            while looked < len(block.rows):
                done = decide(tx, key[0], plan, hits, block.rows, looked)
                rows += done.rows
                looked += done.looked
        found += [row[0] for row in rows]
        last = block.last
    return found[::-1]


@pytest.mark.parametrize("sections", [1, 2])
@pytest.mark.parametrize("size", [4_000, 90_000, 200_000, 250_000])
async def test_a_slice_of_bodies_holds_no_more_than_it_may(db: Database, size: int, sections: int) -> None:
    account = await db.write(new_account, "ann@example.org")
    inbox = (await db.read(find_mailbox, account, "INBOX")).id
    text = [b"Subject: %d\r\n\r\n" % n + b"x" * size for n in range(9)]
    made = [arrivals.Arrival(prepare_small(db.blobs, one)) for one in text]
    await db.write(arrivals.add_all, account, inbox, made, now=NOW)
    plan = Plan(
        list(parse_fetch(Lexer(b"1:* (BODY.PEEK[]%b)" % (b" BODY.PEEK[TEXT]" * (sections - 1)))).attributes)
    )
    uids, seen = array("I", range(1, 10)), 0
    while seen < len(uids):
        found = await db.read(read_contents, (account, inbox), [Run(1 + seen, uids[seen:])], plan)
        held = sum(len(piece) for piece in found.pieces if isinstance(piece, bytes))
        assert held - 100 * found.covered <= max(CONTENT_OCTETS, (size + 20) * sections)
        assert not found.missing
        room = CONTENT_OCTETS // ((size + 14) * sections)
        assert found.covered == min(max(room, 1), len(uids) - seen)
        seen += found.covered
    assert seen == len(uids)
