"""What to claim and what to send next: fair between destinations and between accounts, within the limits.

A lane is the mail of one account for one destination, new mail apart from mail that was tried before. The
database holds all lanes; here are only those of which something is claimed. A lane with work stands in
exactly one line: in its tier's ring when it may start a connection, behind its destination or its account
when that is at its limit. A destination without a connection has nobody behind it, nor has an account
without mail on its way.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from mailwright.queue.schedule import Schedule

_T = TypeVar("_T")

FRESH: Final = 0
RETRY: Final = 1

FIRST_WINDOW: Final = 5  # connections to a destination of which nothing is known yet
MAX_NOTES: Final = 10_000  # destinations of which something is remembered
FEW: Final = 16  # recipients tried before that are claimed at once while new mail waits
SOON: Final = 0.1  # seconds within which what waits shall be on its way
FIRST_BATCH: Final = 10  # recipients claimed of a lane at first; doubled each time they are used up


@dataclass(frozen=True)
class Limits:
    """Bounds of one process."""

    connections: int = 200
    per_destination: int = 20  # connections
    per_account: int = 40  # messages on their way at the same time
    retry_share: float = 0.5  # of the connections, for mail that was tried before
    ready: int = 4000  # recipients claimed and waiting in memory
    lane_batch: int = 400  # recipients of one lane claimed at once
    transaction_recipients: int = 100  # RFC 5321 4.5.3.1.8
    connection_messages: int = 100  # then the connection competes again with others


class Lane(NamedTuple):
    """`account` is 0 for mail of no account: forwards and reports."""

    tier: int
    account: int
    destination: str


class Claim(NamedTuple):
    """So many recipients of a lane are to be claimed."""

    lane: Lane
    recipients: int


class Start(NamedTuple):
    """One more connection is to be opened."""

    destination: str
    tier: int  # of the lane that asked for it; the connection serves both


class Work(NamedTuple):
    """One message with recipients of one lane: what one transaction carries. `key` means nothing here."""

    lane: Lane
    key: int
    recipients: int


class _Destination:
    __slots__ = ("batch", "lanes", "pace", "ready", "running", "waiting", "window")

    def __init__(self) -> None:
        self.lanes: deque[Lane] = deque()  # those with work; the order in which connections serve them
        self.waiting: deque[Lane] = deque()  # those that would start one more connection
        self.ready = 0  # recipients claimed and not taken
        self.running = 0  # connections
        self.window = FIRST_WINDOW
        self.batch = FIRST_BATCH
        self.pace = SOON  # seconds that a message takes on one of its connections


class _Account:
    __slots__ = ("ready", "running", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Lane] = deque()
        self.ready = 0
        self.running = 0  # messages on their way


class Planner:
    """Knows what is claimed and what runs. The cost of a call does not grow with what waits."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.ready = 0  # recipients claimed and not taken
        self.fresh = 0  # those of them in the tier FRESH
        self.connections = 0
        self._retries = 0  # connections that were opened for the tier RETRY
        self._turn = 0
        self._work: dict[Lane, deque[Work]] = {}
        self._rings: tuple[deque[Lane], deque[Lane]] = (deque(), deque())
        self._lined: set[Lane] = (
            set()
        )  # lanes that stand in some line; one whose work is gone is dropped when met
        self._destinations: dict[str, _Destination] = {}
        self._accounts: dict[int, _Account] = {}
        self._rests: dict[str, tuple[int, float]] = {}  # destination -> failures in a row, end of its rest
        self._learned: dict[
            str, tuple[int, int, float]
        ] = {}  # destination -> window, batch and pace when last seen

    # Claiming

    def room(self) -> int:
        """Recipients that may still be claimed."""
        return max(0, self.limits.ready - self.ready)

    def full_destinations(self) -> list[str]:
        """Destinations of which enough is claimed: the database need not tell of them."""
        return [name for name, d in self._destinations.items() if d.ready > d.batch // 2]

    def full_accounts(self) -> list[int]:
        """Accounts that have their share of the room."""
        share = self._account_share()
        return [number for number, a in self._accounts.items() if number and a.ready >= share]

    def plan_claims(self, due: Iterable[Lane]) -> list[Claim]:
        """How much to claim of each lane; `due` has the longest waiting first.

        No lane takes more than an eighth of the room that is left, so that none can fill it. While there is new
        mail, what was tried before is claimed a quarter as much, at most.
        """
        lanes = list(dict.fromkeys(due))
        claims: dict[Lane, int] = {}
        self._plan([lane for lane in lanes if lane.tier == FRESH], self.room(), claims)
        fresh = sum(claims.values())
        room = self.room() - fresh
        if fresh or self.fresh:
            room = min(room, max(FEW, fresh // 3))
        self._plan([lane for lane in lanes if lane.tier == RETRY], room, claims)
        return [Claim(lane, count) for lane, count in claims.items()]

    def _plan(self, lanes: list[Lane], room: int, claims: dict[Lane, int]) -> None:
        of_destination: dict[str, int] = {}
        of_account: dict[int, int] = {}
        for lane, count in claims.items():
            of_destination[lane.destination] = of_destination.get(lane.destination, 0) + count
            of_account[lane.account] = of_account.get(lane.account, 0) + count
        for lane in lanes:
            if room <= 0:
                return
            count = min(
                self.limits.lane_batch,
                max(1, room // 8),
                self._destination_room(lane.destination) - of_destination.get(lane.destination, 0),
                self._account_room(lane.account) - of_account.get(lane.account, 0),
            )
            if count > 0:
                claims[lane] = count
                room -= count
                of_destination[lane.destination] = of_destination.get(lane.destination, 0) + count
                of_account[lane.account] = of_account.get(lane.account, 0) + count

    def _destination_room(self, name: str) -> int:
        destination = self._destinations.get(name)
        if destination is not None:
            return destination.batch - destination.ready
        return FIRST_BATCH if name in self._rests else self._learned.get(name, (0, FIRST_BATCH, SOON))[1]

    def _account_share(self) -> int:
        return max(8, self.limits.ready // 4)

    def _account_room(self, number: int) -> int:
        if number == 0:
            return self.limits.ready
        account = self._accounts.get(number)
        return self._account_share() - (0 if account is None else account.ready)

    def has_room_for(self, lane: Lane, recipients: int) -> bool:
        """Whether new mail may be added without waiting its turn in the database.

        Half of every room is left to what does wait there, so that this never delays it for long.
        """
        destination = self._destinations.get(lane.destination)
        ready = 0 if destination is None else destination.ready
        batch = ready + self._destination_room(lane.destination)
        return (
            lane.destination not in self._rests
            and ready + recipients <= max(1, batch // 2)
            and self.ready + recipients <= self.limits.ready // 2
            and recipients <= self._account_room(lane.account) - self._account_share() // 2
        )

    def add(self, work: Work) -> None:
        """Something was claimed."""
        lane = work.lane
        destination = self._destinations.get(lane.destination)
        if destination is None:
            destination = self._destinations[lane.destination] = _Destination()
            if lane.destination in self._rests:
                destination.window = 1  # one connection probes
            elif lane.destination in self._learned:
                destination.window, destination.batch, destination.pace = self._learned[lane.destination]
        account = self._accounts.setdefault(lane.account, _Account())
        destination.ready += work.recipients
        account.ready += work.recipients
        self.ready += work.recipients
        self.fresh += work.recipients if lane.tier == FRESH else 0
        queue = self._work.get(lane)
        if queue is not None:
            queue.append(work)
        else:
            self._work[lane] = deque((work,))
            destination.lanes.append(lane)
            if lane not in self._lined:
                self._lined.add(lane)
                self._rings[lane.tier].append(lane)
        self._wake(destination.waiting)

    # Connections

    def next_start(self) -> Start | None:
        """The connection to open now; the caller does so, and tells when it is `closed`. None: nothing.

        New mail goes first; every fourth start goes to mail that was tried before, if its share allows.
        """
        if self.connections >= self.limits.connections:
            return None
        first = RETRY if self._turn % 4 == 3 else FRESH
        for tier in (first, 1 - first):
            name = self._start(tier)
            if name is not None:
                self._turn += 1
                return Start(name, tier)
        return None

    def _start(self, tier: int) -> str | None:
        if tier == RETRY and self._retries >= max(1, int(self.limits.connections * self.limits.retry_share)):
            return None
        ring = self._rings[tier]
        while ring:
            lane = ring.popleft()
            if lane not in self._work:
                self._lined.discard(lane)
                continue
            destination = self._destinations[lane.destination]
            account = self._accounts[lane.account]
            if self._is_saturated(account, lane):
                account.waiting.append(lane)
                self._wake(destination.waiting)  # a lane of another account may use the connection
            elif destination.running >= self._wanted(destination):
                destination.waiting.append(lane)
            else:
                ring.append(lane)
                destination.running += 1
                self.connections += 1
                self._retries += tier
                return lane.destination
        return None

    def _wanted(self, destination: _Destination) -> int:
        """How many connections the destination may have: its window, what is useful, its share."""
        # One more is useful when what waits for each would not be on its way soon.
        running, ready = destination.running, destination.ready
        useful = running + (ready > running and ready * destination.pace > running * SOON)
        # The last connections are for others: it has no more than half of what is left and its own.
        share = (self.limits.connections - self.connections + destination.running) // 2
        return max(1, min(destination.window, self.limits.per_destination, share, useful))

    def _is_saturated(self, account: _Account, lane: Lane) -> bool:
        return lane.account != 0 and account.running >= self.limits.per_account

    def is_low(self, name: str) -> bool:
        """Whether more of a destination should be claimed, if there is more."""
        destination = self._destinations.get(name)
        return destination is None or destination.ready <= destination.batch // 2

    def take(self, name: str, served: int) -> Work | None:
        """The next work for an open connection to `name` that has served so many messages; None: close it.

        The lanes of the destination are served in turn.
        """
        destination = self._destinations.get(name)
        if destination is None or (served and self._must_yield(destination, served)):
            return None
        for _ in range(len(destination.lanes)):
            lane = destination.lanes[0]
            destination.lanes.rotate(-1)
            account = self._accounts[lane.account]
            if not self._is_saturated(account, lane):
                return self._take(lane, destination, account)
        return None

    def take_ahead(self, name: str, served: int) -> Work | None:
        """The work that a connection is to do next, if so much waits that nobody else is faster with it."""
        destination = self._destinations.get(name)
        if destination is None or destination.ready < destination.running:
            return None
        return self.take(name, served)

    def put_back(self, work: Work) -> None:
        """The work was taken ahead and will not be done by that connection."""
        self.done(work, reached=False)
        self.add(work)

    def _must_yield(self, destination: _Destination, served: int) -> bool:
        if served >= self.limits.connection_messages:
            return True
        if self.connections < self.limits.connections:
            return False
        # All connections are in use: while a destination waits for its first, this one does not stay.
        waiting = itertools.chain(
            itertools.islice(self._rings[FRESH], 16), itertools.islice(self._rings[RETRY], 16)
        )
        return any(
            lane in self._work and not self._destinations[lane.destination].running for lane in waiting
        )

    def _take(self, lane: Lane, destination: _Destination, account: _Account) -> Work:
        """The lane stands last among those of its destination."""
        queue = self._work[lane]
        work = queue.popleft()
        destination.ready -= work.recipients
        account.ready -= work.recipients
        account.running += 1
        self.ready -= work.recipients
        self.fresh -= work.recipients if lane.tier == FRESH else 0
        if not queue:
            del self._work[lane]
            destination.lanes.pop()
        if destination.ready <= destination.batch // 4:
            destination.batch = min(destination.batch * 2, self.limits.lane_batch)
        return work

    def done(self, work: Work, *, reached: bool, seconds: float = SOON * 10) -> None:
        """The work has its results. `reached`: a host of the destination took part in a dialog that took so long."""
        account = self._accounts[work.lane.account]
        account.running -= 1
        self._wake(account.waiting, every=account.running == 0)
        self._forget_account(work.lane.account, account)
        destination = self._destinations.get(work.lane.destination)
        if reached:
            self._rests.pop(work.lane.destination, None)
        if destination is not None and reached:
            destination.window = min(destination.window + 1, self.limits.per_destination)
            destination.pace += (seconds - destination.pace) / 8
            self._wake(destination.waiting)

    def failed(self, name: str, now: float, schedule: Schedule) -> float | None:
        """No host of the destination could be reached: until when it rests.

        None when it rests already, by the failure of another connection that began before.
        """
        failures, until = self._rests.pop(name, (0, 0.0))
        if now >= until:
            failures += 1
            until = now + schedule.pause(failures)
            answer: float | None = until
        else:
            answer = None
        _note(self._rests, name, (failures, until))
        destination = self._destinations.get(name)
        if destination is not None:
            destination.window = 1
            destination.batch = FIRST_BATCH
        return answer

    def closed(self, start: Start) -> None:
        """A connection that `next_start` asked for has ended."""
        destination = self._destinations[start.destination]
        destination.running -= 1
        self.connections -= 1
        self._retries -= start.tier
        self._wake(destination.waiting, every=destination.running == 0)
        self._forget(start.destination, destination)

    def drop(self, name: str) -> list[Work]:
        """Take away all that waits for a destination: it rests, or was rerouted."""
        destination = self._destinations.get(name)
        if destination is None:
            return []
        dropped: list[Work] = []
        for lane in destination.lanes:
            account = self._accounts[lane.account]
            for work in self._work.pop(lane):
                dropped.append(work)
                account.ready -= work.recipients
                self.ready -= work.recipients
                self.fresh -= work.recipients if lane.tier == FRESH else 0
            self._forget_account(lane.account, account)
        destination.lanes.clear()
        destination.ready = 0
        self._forget(name, destination)
        return dropped

    def _forget(self, name: str, destination: _Destination) -> None:
        if not destination.ready and not destination.running:
            self._wake(destination.waiting, every=True)
            del self._destinations[name]
            _note(self._learned, name, (destination.window, destination.batch, destination.pace))

    def _forget_account(self, number: int, account: _Account) -> None:
        if not account.ready and not account.running:
            self._wake(account.waiting, every=True)
            del self._accounts[number]

    def _wake(self, line: deque[Lane], *, every: bool = False) -> None:
        """Let the first in a line, or every one, try again."""
        while line:
            lane = line.popleft()
            if lane in self._work:
                self._rings[lane.tier].append(lane)
                if not every:
                    return
            else:
                self._lined.discard(lane)


def _note(table: dict[str, _T], name: str, value: _T) -> None:
    """Remember something; the oldest note makes room."""
    table.pop(name, None)
    table[name] = value
    if len(table) > MAX_NOTES:
        del table[next(iter(table))]
