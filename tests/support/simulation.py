"""A world for the queue in which a week takes seconds: virtual time, scripted peers, the real runner and SQLite."""

from __future__ import annotations

import asyncio
import functools
import random
import selectors
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import apsw

from mailwright.queue.carrier import Attempt, Carrier
from mailwright.queue.model import Claimed, Reporter, Rules
from mailwright.queue.planner import Limits
from mailwright.queue.runner import Runner
from mailwright.queue.values import Outcome, Result
from mailwright.store import schema
from mailwright.store.blobs.database import DatabaseBlobs
from mailwright.store.db.file import DIALECT, SQLiteTransaction

T = TypeVar("T")
START = 1_800_000_000.0


class VirtualSelector(selectors.SelectSelector):
    """Waits by turning the clock forward."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing will ever happen again in this world")
        if timeout > 0:
            self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when everybody waits."""

    def __init__(self) -> None:
        self.selector = VirtualSelector()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.now


class VirtualClock:
    """`jump` is by how much somebody has set the clock forward."""

    def __init__(self) -> None:
        self.jump = 0.0

    def now(self) -> float:
        return START + self.jump + asyncio.get_running_loop().time()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


@functools.cache
def _tables() -> bytes:
    """A database that has been migrated, and in which nothing is."""
    connection = apsw.Connection(":memory:")
    schema.migrate(SQLiteTransaction(connection, DatabaseBlobs()))
    return connection.serialize("main")


class InlineDatabase:
    """A store in memory whose operations run at once. `crash` forgets nothing: what was written stays."""

    dialect = DIALECT

    def __init__(self) -> None:
        self.connection = apsw.Connection(":memory:", statementcachesize=600)
        self.connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)  # as the store does, for the same reasons
        self.connection.deserialize("main", _tables())
        self.tx = SQLiteTransaction(self.connection, DatabaseBlobs())
        self.failing = False

    async def write(self, operation: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        await asyncio.sleep(0.001)  # a commit takes its time, and others run meanwhile
        return self.now(operation, *args, **kwargs)

    async def read(self, operation: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        return operation(self.tx, *args, **kwargs)

    def now(self, operation: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        self.connection.execute("SAVEPOINT operation")
        try:
            return operation(self.tx, *args, **kwargs)
        except BaseException:
            self.connection.execute("ROLLBACK TO operation")
            raise
        finally:
            self.connection.execute("RELEASE operation")

    async def start(self) -> None: ...

    async def close(self) -> None: ...


@dataclass
class Peer:
    """How the servers of one destination behave. Times in seconds of the virtual clock, from the start."""

    seconds: float = 0.5  # for one message
    dead: tuple[float, float] = (0.0, 0.0)  # from, until: nobody answers
    connect_seconds: float = 30.0  # until we believe that nobody answers
    greylist: float = 0.0  # a message that came first so long ago is taken
    refuse_share: float = 0.0  # of the recipients, for good, by address
    lost_share: float = 0.0  # of the messages: taken, but the connection breaks before the reply
    fail: bool = False  # 5yz to everything
    open: int = 0
    most: int = 0
    first_seen: dict[tuple[int, str], float] = field(default_factory=dict)


@dataclass
class World:
    """Peers, and all that they took."""

    seed: int
    peers: dict[str, Peer] = field(default_factory=dict)
    taken: Counter[tuple[int, str]] = field(default_factory=Counter)
    replied: Counter[tuple[int, str]] = field(default_factory=Counter)  # final replies that reached us
    again: list[tuple[int, str]] = field(default_factory=list)  # what was tried after its final reply
    lost: Counter[tuple[int, str]] = field(default_factory=Counter)
    latency: dict[int, float] = field(default_factory=dict)
    most_of_account: Counter[int] = field(default_factory=Counter)
    running_of_account: Counter[int] = field(default_factory=Counter)
    attempts: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def peer(self, destination: str) -> Peer:
        return self.peers.setdefault(destination, Peer())

    def carrier(self, destination: str) -> Carrier:
        return ScriptedCarrier(self, destination)

    async def close(self) -> None: ...


class ScriptedCarrier:
    """Plays one connection of a peer."""

    is_awaited = False

    def __init__(self, world: World, destination: str) -> None:
        self.world = world
        self.destination = destination
        self.peer = world.peer(destination)
        self.connected = False

    async def deliver(self, claimed: Claimed, ahead: Claimed | None = None) -> Attempt:
        world, account = self.world, claimed.lane.account
        world.attempts += 1
        world.running_of_account[account] += 1
        world.most_of_account[account] = max(
            world.most_of_account[account], world.running_of_account[account]
        )
        try:
            return await self._deliver(claimed)
        finally:
            world.running_of_account[account] -= 1

    async def _deliver(self, claimed: Claimed) -> Attempt:
        peer, now = self.peer, asyncio.get_running_loop().time()
        if peer.dead[0] <= now < peer.dead[1]:
            await asyncio.sleep(peer.connect_seconds)
            down = Result(Outcome.DEFERRED, "connect", "4.4.1", "connection timed out")
            return Attempt((down,) * len(claimed.recipients), reached=False)
        if not self.connected:
            self.connected = True
            peer.open += 1
            peer.most = max(peer.most, peer.open)
        await asyncio.sleep(peer.seconds * self.world.random.uniform(0.5, 1.5))
        if self.world.random.random() < peer.lost_share:
            for recipient in claimed.recipients:
                self.world.taken[claimed.message.id, recipient.address] += 1
                self.world.lost[claimed.message.id, recipient.address] += 1
            cut = Result(Outcome.DEFERRED, "content", "4.4.2", "connection lost after the final dot")
            return Attempt((cut,) * len(claimed.recipients), again=False)
        return Attempt(tuple(self._reply(claimed, recipient.address) for recipient in claimed.recipients))

    def _reply(self, claimed: Claimed, address: str) -> Result:
        world, peer, key = self.world, self.peer, (claimed.message.id, address)
        now = asyncio.get_running_loop().time()
        if world.replied[key]:
            world.again.append(key)  # an error here would only end the courier
        if now - peer.first_seen.setdefault(key, now) < peer.greylist:
            return Result(Outcome.DEFERRED, "rcpt", "4.2.0", "450 4.2.0 greylisted", 450)
        world.replied[key] += 1
        refused = random.Random(f"{address}").random() < peer.refuse_share
        if peer.fail or refused:
            return Result(Outcome.FAILED, "rcpt", "5.1.1", "550 5.1.1 no such user", 550)
        world.taken[key] += 1
        world.latency[claimed.message.id] = now
        return Result(Outcome.SENT, "content", "2.0.0", "250 2.0.0 taken", 250)

    def close(self) -> None:
        if self.connected:
            self.connected = False
            self.peer.open -= 1


def new_runner(
    db: object,
    world: World,
    rules: Rules,
    limits: Limits,
    report: Reporter | None = None,
    *,
    clock: VirtualClock | None = None,
    **more: Any,
) -> Runner:
    return Runner(
        db,  # type: ignore[arg-type]
        world,
        clock or VirtualClock(),
        rules=rules,
        limits=limits,
        report=report,
        roll=random.Random(world.seed).random,
        **more,
    )
