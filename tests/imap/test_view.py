"""The view against a mailbox that is a plain list: what the client is told must always add up."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.imap.view import Pool, View


class Mailbox:
    """A mailbox and one client of it, who knows only what it was told."""

    def __init__(self, count: int) -> None:
        self.uids = list(range(1, count + 1))
        self.uidnext = count + 1
        self.view = View((1, 1), Pool(), count, self.uidnext, 0)
        self.client = list(self.uids)

    def arrive(self, count: int) -> None:
        new = list(range(self.uidnext, self.uidnext + count))
        self.uids += new
        self.uidnext += count
        self.view.note_arrived(new)

    def expunge(self, uids: list[int]) -> None:
        gone = [uid for uid in uids if uid in self.uids]
        self.uids = [uid for uid in self.uids if uid not in gone]
        self.view.note_expunged(gone, 2)

    def flag(self, uids: list[int]) -> None:
        self.view.note_flags([uid for uid in uids if uid in self.uids])

    def load(self, lowest: int) -> None:
        if self.view.missing(lowest):
            self.view.load([uid for uid in self.uids if uid >= lowest], lowest)

    def tell(self, expunge: bool) -> None:
        lowest = self.view.lowest_news(expunge)
        if lowest:
            self.load(lowest)
        updates = self.view.take_updates(expunge)
        for number in updates.expunged:
            assert self.client.pop(number - 1) in updates.vanished
        self.client += updates.arrived
        for number, uid in updates.changed:
            assert self.client[number - 1] == uid
        assert self.view.count == len(self.client)


ACTIONS = st.one_of(
    st.tuples(st.just("arrive"), st.integers(1, 3)),
    st.tuples(st.just("expunge"), st.lists(st.integers(1, 25), max_size=4)),
    st.tuples(st.just("flag"), st.lists(st.integers(1, 25), max_size=3)),
    st.tuples(st.just("tell"), st.booleans()),
    st.tuples(st.just("load"), st.integers(1, 25)),
)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10), st.lists(ACTIONS, max_size=25))
def test_the_client_always_knows_the_numbers(count: int, actions: list[tuple[str, int]]) -> None:
    mailbox = Mailbox(count)
    for name, argument in actions:
        getattr(mailbox, name)(argument)
        assert mailbox.view.count == len(mailbox.client)
    mailbox.tell(expunge=True)
    assert mailbox.client == mailbox.uids
    mailbox.load(1)
    for number, uid in enumerate(mailbox.client, 1):
        assert mailbox.view.number(uid) == number
    assert [run.uids.tolist() for run in mailbox.view.runs_of_numbers([(1, len(mailbox.uids))])] == (
        [mailbox.uids] if mailbox.uids else []
    )


def test_views_of_one_state_share_their_uids() -> None:
    pool = Pool()
    views = [View((1, 1), pool, 1000, 1001, 0) for _ in range(3)]
    for view in views:
        view.load(list(range(1, 1001)), 1)
        view.note_arrived([1001])
        view.note_expunged([5], 2)
        view.take_updates(expunge=True)
    assert views[0]._uids is views[1]._uids is views[2]._uids
    views[0].note_expunged([7], 2)
    views[0].take_updates(expunge=True)
    assert views[0].count == 999
    assert views[1].count == 1000


def test_a_view_that_withholds_does_not_share_what_is_wrong() -> None:
    pool = Pool()
    one, other = (View((1, 1), pool, 3, 4, 0) for _ in range(2))
    for view, uid in ((one, 1), (other, 2)):
        view.load([1, 2, 3], 1)
        view.note_expunged([uid], 2)
        view.take_updates(expunge=False)
        view.note_arrived([4])
        view.take_updates(expunge=False)
    assert [run.uids.tolist() for run in one.runs_of_numbers([(1, 4)])] == [[1, 2, 3, 4]]
    assert one.take_updates(expunge=True).expunged == [1]
    assert other.take_updates(expunge=True).expunged == [2]


@pytest.mark.parametrize("expunge", [False, True])
def test_nothing_is_loaded_that_nobody_asks_for(expunge: bool) -> None:
    view = View((1, 1), Pool(), 1_000_000, 1_000_001, 0)
    view.note_arrived([1_000_001])
    assert view.lowest_news(expunge) == 0
    assert view.take_updates(expunge).arrived == (1_000_001,)
    assert view.count == 1_000_001
    assert not view.missing(1_000_001)
    assert view.missing(1_000_000)
    assert view.number(1_000_001) == 1_000_001
