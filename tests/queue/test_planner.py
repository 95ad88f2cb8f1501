"""Fairness and limits of the planner, as properties over any order of events."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.queue.planner import FRESH, RETRY, Claim, Lane, Limits, Planner, Start, Work
from mailwright.queue.schedule import Schedule

TIGHT = Limits(
    connections=8, per_destination=3, per_account=4, ready=64, lane_batch=16, connection_messages=5
)


class World:
    """Runs whatever the planner starts, in the order that a test chooses."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.planner = Planner(limits)
        self.open: list[tuple[Start, int]] = []  # with the messages served
        self.busy: list[tuple[Start, int, Work]] = []
        self.sent: list[Work] = []
        self.added = 0
        self.key = 0

    def add(self, lane: Lane, recipients: int = 1) -> Work:
        self.key += 1
        work = Work(lane, self.key, recipients)
        self.planner.add(work)
        self.added += 1
        return work

    def pump(self) -> None:
        """Start all that may start, and give each free connection its next work."""
        while True:
            for start, served in self.open[:]:
                self.open.remove((start, served))
                work = self.planner.take(start.destination, served)
                if work is None:
                    self.planner.closed(start)
                else:
                    assert work.lane.destination == start.destination
                    self.busy.append((start, served, work))
            started = self.planner.next_start()
            if started is None:
                break
            self.open.append((started, 0))
        self.check()

    def finish(self, index: int = 0, *, reached: bool = True) -> Work:
        start, served, work = self.busy.pop(index % len(self.busy))
        if not reached:
            self.planner.failed(start.destination, 0.0, Schedule())
        self.planner.done(work, reached=reached)
        self.sent.append(work)
        self.open.append((start, served + 1))
        return work

    def check(self) -> None:
        connections = len(self.open) + len(self.busy)
        assert connections == self.planner.connections <= self.limits.connections
        for count in Counter(start.destination for start, _, _ in self.busy).values():
            assert count <= self.limits.per_destination
        for account, count in Counter(work.lane.account for _, _, work in self.busy).items():
            assert account == 0 or count <= self.limits.per_account
        retries = sum(start.tier == RETRY for start, _, _ in self.busy)
        assert retries <= max(1, int(self.limits.connections * self.limits.retry_share))

    def drain(self) -> None:
        self.pump()
        while self.busy:
            self.finish()
            self.pump()


lanes = st.builds(
    Lane,
    st.sampled_from((FRESH, RETRY)),
    st.integers(0, 4),
    st.sampled_from([f"d{n}.example" for n in range(6)]),
)
steps = st.lists(
    st.one_of(lanes, st.tuples(st.integers(0, 40), st.booleans()), st.just("drop")), min_size=1, max_size=150
)


@settings(max_examples=200, deadline=None)
@given(steps)
def test_limits_hold_and_nothing_is_forgotten_in_any_order(events: list[object]) -> None:
    world = World(TIGHT)
    dropped = 0
    for event in events:
        if isinstance(event, Lane):
            world.add(event)
        elif event == "drop":
            dropped += len(world.planner.drop("d0.example"))
        elif world.busy:
            assert isinstance(event, tuple)
            world.finish(event[0], reached=event[1])
        world.pump()
    world.drain()
    assert len(world.sent) + dropped == world.added, "work was left behind though nothing ran"
    assert len({work.key for work in world.sent}) == len(world.sent)
    assert world.planner.ready == world.planner.fresh == world.planner.connections == 0
    assert not world.planner.full_destinations()
    assert vars_empty(world.planner)


def vars_empty(planner: Planner) -> bool:
    planner.next_start()  # meets the last stale entries of the lines
    return not (planner._work or planner._destinations or planner._accounts or planner._lined)


@settings(max_examples=60, deadline=None)
@given(st.integers(20, 60), st.integers(0, 3))
def test_one_accounts_backlog_does_not_delay_another(backlog: int, order: int) -> None:
    world = World(TIGHT)
    for n in range(backlog):
        world.add(Lane(FRESH, 1, f"d{n % 5}.example"))
    world.pump()
    other = world.add(Lane(FRESH, 2, "d1.example"))
    world.pump()
    for _ in range(20):
        if other in world.sent:
            break
        world.finish(order)
        world.pump()
    # It waits for at most one place of each connection of its destination and those before it in the ring.
    assert other in world.sent or any(work is other for _, _, work in world.busy)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5))
def test_slow_destinations_leave_connections_for_others(slow: int) -> None:
    limits = Limits(connections=16, per_destination=16, per_account=1000)
    world = World(limits)
    for n in range(slow):
        for account in range(1, 31):
            world.add(Lane(FRESH, account, f"slow{n}.example"))
    world.pump()
    world.pump()
    fresh = world.add(Lane(FRESH, 99, "quick.example"))
    world.pump()
    assert any(work is fresh for _, _, work in world.busy), (
        "a destination that never answers took every connection"
    )


def test_mail_tried_before_has_its_share_and_no_more() -> None:
    world = World(Limits(connections=10, per_destination=2, retry_share=0.5))
    for n in range(100):
        world.add(Lane(RETRY, 0, f"dead{n}.example"))
    world.pump()
    assert len(world.busy) == 5
    for n in range(100):
        world.add(Lane(FRESH, 0, f"new{n}.example"))
    world.pump()
    assert len(world.busy) == 10
    # A flood of new mail does not starve the other tier either.
    for _ in range(40):
        world.finish(-1)
        world.pump()
    assert sum(work.lane.tier == RETRY for work in world.sent + [w for _, _, w in world.busy]) >= 5


def test_the_lanes_of_a_destination_take_turns() -> None:
    world = World(Limits(connections=1))
    for _ in range(50):
        world.add(Lane(FRESH, 1, "a.example"))
    for _ in range(3):
        world.add(Lane(FRESH, 2, "a.example"))
    world.drain()
    assert [work.lane.account for work in world.sent[:6]] == [1, 2, 1, 2, 1, 2]


def test_a_connection_gives_way_to_a_destination_without_one() -> None:
    world = World(Limits(connections=2, per_destination=2, connection_messages=100))
    for _ in range(50):
        world.add(Lane(FRESH, 0, "big.example"))
    world.pump()
    world.pump()
    world.add(Lane(FRESH, 0, "small.example"))
    while not any(work.lane.destination == "small.example" for work in world.sent):
        assert len(world.sent) < 5
        world.pump()
        world.finish()


def test_a_failing_destination_rests_longer_and_longer_and_is_probed_by_one_connection() -> None:
    world = World(Limits(connections=100, per_account=100))
    schedule = Schedule()
    lane = Lane(FRESH, 0, "dead.example")
    for _ in range(100):
        world.add(lane)
    world.pump()
    assert len(world.busy) == 5
    assert world.planner.failed("dead.example", 1000.0, schedule) == 1060.0
    assert world.planner.failed("dead.example", 1001.0, schedule) is None, "the same outage"
    assert len(world.planner.drop("dead.example")) == 95
    while world.busy:
        world.finish(reached=False)
        world.open.clear()
        world.planner.closed(Start("dead.example", FRESH))
    for _ in range(10):
        world.add(lane)
    world.pump()
    assert len(world.busy) == 1
    assert world.planner.failed("dead.example", 1060.0, schedule) == 1180.0
    world.finish(reached=True)
    assert world.planner.failed("dead.example", 2000.0, schedule) == 2060.0, "forgotten once it was reached"


def test_a_good_destination_gets_more_connections_up_to_the_limit() -> None:
    world = World(Limits(connections=100, per_destination=20))
    for _ in range(400):
        world.add(Lane(FRESH, 0, "good.example"))
    world.pump()
    for _ in range(40):
        world.finish()
        world.pump()
    assert len(world.busy) == 20


def test_where_mail_goes_fast_one_connection_carries_what_waits() -> None:
    world = World(Limits(connections=100, per_destination=20))
    lane = Lane(FRESH, 0, "fast.example")
    for _ in range(60):
        world.add(lane)
        world.pump()
        start, _, work = world.busy.pop()
        world.planner.done(work, reached=True, seconds=0.001)
        world.planner.closed(start)
    for _ in range(50):
        world.add(lane)
    world.pump()
    assert len(world.busy) == 1
    for _ in range(400):
        world.add(lane)
    world.pump()
    assert 1 < len(world.busy) < 8


def test_new_mail_may_be_added_up_to_half_of_each_room() -> None:
    planner = Planner(Limits(ready=800))
    lane = Lane(FRESH, 1, "a.example")
    assert planner.has_room_for(lane, 5)
    assert not planner.has_room_for(lane, 6)
    for key in range(5):
        planner.add(Work(lane, key, 1))
    assert not planner.has_room_for(lane, 1)
    assert planner.plan_claims([lane]), "the other half is for what waits in the database"
    for key in range(95):
        planner.add(Work(Lane(FRESH, 1, f"d{key}.example"), key + 10, 1))
    assert not planner.has_room_for(Lane(FRESH, 1, "z.example"), 1), "the account has half of its share"
    assert planner.has_room_for(Lane(FRESH, 2, "z.example"), 1)


def test_claims_leave_room_for_everybody() -> None:
    planner = Planner(Limits(ready=800, lane_batch=400))
    claims = planner.plan_claims(Lane(FRESH, n, f"d{n}.example") for n in range(1, 500))
    assert len(claims) > 80, "all the room goes to one batch each, then to single ones"
    assert all(claim.recipients == 10 for claim in claims[:30])
    for claim in claims:
        for key in range(claim.recipients):
            planner.add(Work(claim.lane, key, 1))
    assert planner.room() == 800 - sum(claim.recipients for claim in claims)


def test_claims_respect_the_share_of_an_account_and_the_batch_of_a_destination() -> None:
    planner = Planner(Limits(ready=80))
    assert planner.plan_claims([Lane(FRESH, 1, "a.example"), Lane(FRESH, 2, "a.example")]) == [
        Claim(Lane(FRESH, 1, "a.example"), 10)
    ]
    for key in range(20):
        planner.add(Work(Lane(FRESH, 1, f"d{key}.example"), key, 1))
    assert planner.full_accounts() == [1]
    assert not planner.plan_claims([Lane(FRESH, 1, "z.example")])
    assert planner.plan_claims([Lane(FRESH, 2, "z.example")])


def test_a_batch_grows_while_it_is_used_up() -> None:
    world = World(Limits(connections=1, lane_batch=400))
    lane = Lane(FRESH, 0, "a.example")
    sizes = []
    for _ in range(7):
        (claim,) = world.planner.plan_claims([lane])
        sizes.append(claim.recipients)
        for _ in range(claim.recipients):
            world.add(lane)
        while world.planner.ready > 1:
            world.pump()
            world.finish()
        world.pump()
    assert sizes[0] == 10
    assert sizes[-1] >= 390


def test_new_mail_is_claimed_first() -> None:
    planner = Planner(Limits(ready=800))
    old = [Lane(RETRY, 1, f"old{n}.example") for n in range(100)]
    assert sum(claim.recipients for claim in planner.plan_claims(old)) == 200
    claims = planner.plan_claims([*old, Lane(FRESH, 2, "new.example")])
    assert claims[0] == Claim(Lane(FRESH, 2, "new.example"), 10)
    assert sum(claim.recipients for claim in claims[1:]) == 16
