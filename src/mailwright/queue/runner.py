"""The only loop of the queue: claims what is due, has it carried, records what became of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Final

from mailwright.base.clock import Clock
from mailwright.hooks.caller import Hooks
from mailwright.queue import lanes, model, trace, usage
from mailwright.queue.carrier import Carrier, Transport
from mailwright.queue.couriers import PATIENCE, Couriers
from mailwright.queue.intake import Lease, Queued
from mailwright.queue.model import Claimed, Finding, Reporter, Rules
from mailwright.queue.planner import FRESH, RETRY, Lane, Limits, Planner, Start, Work
from mailwright.queue.recorder import Recorder
from mailwright.queue.values import NewMessage
from mailwright.store.db.api import Database, Presence, Transaction
from mailwright.store.errors import StoreError, TemporaryFailure

log = logging.getLogger(__name__)

LEASE: Final = 900.0  # seconds; kept up while we live
LOOK: Final = 30.0  # seconds between looks at the database when nobody wakes us
CHORES: Final = 300.0  # seconds between two rounds of housekeeping
# Seconds after midnight UTC: all processes have told what they counted until then, and the rush is over (RFC 8460 4.1).
DAILY_AT: Final = 4 * 3600.0
SWEEP: Final = 15.0  # seconds between looks for what is late or has expired
_PORTION: Final = 0.05  # between claims of what was tried before, while new mail is on its way
_PAUSE: Final = 1.0  # after a look that found nothing to claim though something is due


class Runner:
    """Runs until `stop`. `wake` it after a commit that enqueued, released or rerouted something.

    `roll` gives random numbers in [0, 1). `often` is awaited every five minutes and `daily` once a day, in the
    hour of DAILY_AT or soon after the start, for what else has to be done.
    """

    def __init__(
        self,
        db: Database,
        transport: Transport,
        clock: Clock,
        *,
        rules: Rules | None = None,
        limits: Limits | None = None,
        report: Reporter | None = None,
        roll: Callable[[], float] = random.random,
        daily: Callable[[], Awaitable[None]] | None = None,
        often: Callable[[], Awaitable[None]] | None = None,
        trace_for: float = trace.KEPT_FOR,
        hooks: Hooks | None = None,
        owner: str = "",
        presence: Presence | None = None,
    ) -> None:
        self._db = db
        self._transport = transport
        self._clock = clock
        self._rules = rules or Rules()
        self._report = report
        self._daily = daily
        self._often = often
        self._trace_for = trace_for
        self._presence = presence
        self._owner = presence.name if presence is not None else owner or secrets.token_hex(8)
        self.planner = Planner(limits or Limits())
        self._claimed: dict[int, Claimed] = {}  # waits here
        self._busy: dict[int, Claimed] = {}  # is being delivered
        self._keys = 0
        self._woken = asyncio.Event()
        self._fresh = True  # the database may have more than we know
        self._stopping = False
        self._couriers = Couriers(self.planner, transport, self._serve)
        self._recorder = Recorder(db, clock, self._owner, self._rules, report, roll, hooks, self.wake)
        self._tasks: list[asyncio.Task[None]] = []
        self._swept_at = 0.0
        self._extended_at = 0.0
        self._session = 0  # in which the leases were last extended
        self._only_retries = False

    # From outside

    async def start(self) -> None:
        """Take back what an earlier process of ours left leased, and begin."""
        self._swept_at = self._extended_at = self._clock.now()
        if self._db.dialect.name == "sqlite":  # the file has one process only
            await self._db.write(model.release_all_leases, self._clock.now())
        if self._presence is not None:
            await self._presence.start(self.wake)
        self._tasks = [
            asyncio.create_task(self._run(), name="queue"),
            asyncio.create_task(self._recorder.run(), name="queue-results"),
            asyncio.create_task(self._keep_house(), name="queue-house"),
        ]

    def wake(self) -> None:
        """Something new is in the queue. Only from the event loop."""
        self._fresh = True
        self._woken.set()

    def lease(self, message: NewMessage) -> Lease | None:
        """Under which a new message may be queued that can be sent at once; give `queued` what comes of it."""
        if self._stopping or not self._tasks or not self._is_present():
            return None
        counts: dict[str, int] = {}
        for recipient in message.recipients:
            destination = self._rules.router.destination(message.reverse_path, recipient.address)
            counts[destination] = counts.get(destination, 0) + 1
        fitting = frozenset(
            destination
            for destination, count in counts.items()
            if self.planner.has_room_for(Lane(FRESH, message.account, destination), count)
        )
        return Lease(self._owner, self._clock.now() + LEASE, fitting) if fitting else None

    def queued(self, queued: Iterable[Queued]) -> None:
        """These new messages are in the queue, durably. Only from the event loop.

        What was leased and is never told of here is taken back when its lease ends.
        """
        for item in queued:
            for claimed in item.claimed:
                self._add(claimed)
            if item.waits:
                self.wake()
        self._couriers.start()

    async def stop(self, timeout: float = 3.0, patience: float = PATIENCE) -> None:
        """Let the messages on their way come to an end for so long, then break off; record, give the leases back.

        Messages that a peer may have taken have `patience` seconds more for its reply.
        """
        self._stopping = True
        for task in self._tasks[:1] + self._tasks[2:]:
            task.cancel()
        await self._couriers.stop(timeout, patience)
        self._recorder.stop()
        _, late = await asyncio.wait(self._tasks, timeout=timeout)
        for task in late:  # the store takes nothing: what is not recorded will be tried again
            task.cancel()
        with contextlib.suppress(StoreError):
            await self._db.write(model.release_leases, self._owner, self._clock.now())
        if self._presence is not None:
            await self._presence.stop()
        await self._transport.close()

    @property
    def is_idle(self) -> bool:
        """Nothing runs and nothing waits in memory."""
        return not self._couriers.running and not self._recorder.findings and self.planner.ready == 0

    # The loop

    async def _run(self) -> None:
        while not self._stopping:
            self._woken.clear()
            try:
                await self._keep_leases()
                claimed = await self._claim() if self._fresh else 0
                swept = await self._sweep()
                self._couriers.start()
                if claimed or swept:
                    await self._pace()
                    continue
                wait = await self._time_to_wait()
            except TemporaryFailure as error:
                log.warning("the queue waits for the store: %s", error)
                wait = _PAUSE
                self._swept_at = self._clock.now()  # others keep up their leases before we end any
            except Exception:
                log.exception("the queue met an unexpected error and goes on")
                wait = _PAUSE
            if not await self._is_woken(wait):
                self._fresh = self._fresh or wait < LOOK  # else it was too far off to be waited for

    async def _is_woken(self, within: float) -> bool:
        try:
            async with asyncio.timeout(within):
                await self._woken.wait()
        except TimeoutError:
            return False
        return True

    async def _pace(self) -> None:
        """While new mail is on its way, what was tried before comes in small portions."""
        if self._only_retries and self.planner.fresh:
            await asyncio.sleep(_PORTION)

    async def _time_to_wait(self) -> float:
        if self._fresh:  # all that may be claimed now is: whoever finishes wakes us
            return LOOK
        at = await self._db.read(lanes.next_due)
        return LOOK if at is None else min(LOOK, max(at - self._clock.now(), _PAUSE))

    async def _keep_leases(self) -> None:
        """Before anything is claimed, so that no slow chore and no clock set forward has us try twice what we hold."""
        now = self._clock.now()
        session = 0 if self._presence is None else self._presence.session
        if 0.0 <= now - self._extended_at < LEASE / 3 and session == self._session:
            return
        await self._extend_leases()
        self._extended_at, self._session = now, session

    def _is_present(self) -> bool:
        """The others know that we live, and what we know of is ours."""
        return self._presence is None or 0 < self._presence.session == self._session

    async def _hold(self) -> None:
        """Wait while what is claimed may be another's: the store is out of reach, so leases end."""
        while self._clock.now() - self._extended_at >= LEASE or not self._is_present():
            self._woken.set()
            await asyncio.sleep(_PAUSE)

    async def _claim(self) -> int:
        """Claim what fits in memory; how many messages."""
        planner = self.planner
        if planner.room() == 0 or not self._is_present():
            return 0
        full_destinations, full_accounts = planner.full_destinations(), planner.full_accounts()
        self._fresh = bool(full_destinations or full_accounts)
        now = self._clock.now()
        due = await self._db.read(lanes.due_lanes, now, full_destinations, full_accounts)
        claims = planner.plan_claims(due)
        if not claims:
            return 0
        self._fresh = True
        self._only_retries = all(claim.lane.tier == RETRY for claim in claims)
        claimed = await self._db.write(model.claim, self._owner, claims, now, LEASE)
        for item in claimed:
            self._add(item)
        return len(claimed)

    def _add(self, item: Claimed) -> None:
        most = self.planner.limits.transaction_recipients
        for start in range(0, len(item.recipients), most):
            part = item.recipients[start : start + most]
            self._keys += 1
            self._claimed[self._keys] = Claimed(item.lane, item.message, part)
            self.planner.add(Work(item.lane, self._keys, len(part)))

    async def _sweep(self) -> int:
        now = self._clock.now()
        if now - self._swept_at < SWEEP:
            return 0
        swept = await self._take_from_the_dead(now)
        swept += await self._db.write(model.sweep, now, self._rules, self._report)
        if swept:
            self._fresh = True  # reports may have been queued
        else:
            self._swept_at = now
        return swept

    async def _take_from_the_dead(self, now: float) -> int:
        """Take back what processes had claimed that were killed; how many recipients."""
        presence, taken = self._presence, 0
        if presence is not None:
            for owner in await self._db.read(presence.gone):
                count = await self._db.write(model.end_leases_of, owner, presence, now)
                if count:
                    log.warning("another process has died; %d recipients that it was to try are free", count)
                taken += count
        return taken

    # Couriers

    async def _serve(self, carrier: Carrier, start: Start) -> bool:
        """Until the planner has no more for this connection; whether it could go on."""
        planner = self.planner
        served = 0
        ahead: Work | None = None
        goes_on = True
        try:
            while goes_on and not self._stopping:
                work = ahead or planner.take(start.destination, served)
                if work is None:
                    break
                served += 1
                ahead = planner.take_ahead(start.destination, served)
                if self._fresh and planner.is_low(start.destination):
                    self._woken.set()
                if not self._recorder.room.is_set():
                    await self._recorder.room.wait()
                await self._hold()
                if work.key in self._claimed:
                    goes_on = await self._deliver(carrier, work, ahead)
                else:  # its lease has ended
                    planner.done(work, reached=False)
        finally:
            if ahead is not None and ahead.key in self._claimed:
                planner.put_back(ahead)
            planner.closed(start)
            if self._fresh:
                self._woken.set()
        return goes_on and served > 0

    async def _deliver(self, carrier: Carrier, work: Work, ahead: Work | None) -> bool:
        """Whether the connection may go on."""
        claimed = self._busy[work.key] = self._claimed.pop(work.key)
        began = self._clock.monotonic()
        reached = False
        try:
            attempt = await carrier.deliver(claimed, None if ahead is None else self._claimed.get(ahead.key))
            reached = attempt.reached
        finally:
            del self._busy[work.key]
            self.planner.done(work, reached=reached, seconds=self._clock.monotonic() - began)
        self._recorder.add(claimed, attempt)
        if not reached and not all(result.is_final for result in attempt.results):
            if ahead is not None:
                self.planner.put_back(ahead)
            await self._rest(work.lane.destination)
        return reached and attempt.again

    async def _rest(self, destination: str) -> None:
        """Nobody answers there: what is claimed goes back, and waits until the rest is over."""
        now = self._clock.now()
        until = self.planner.failed(destination, now, self._rules.schedule)
        dropped = [work.key for work in self.planner.drop(destination)]
        waiting = [self._claimed.pop(key) for key in dropped if key in self._claimed]
        leases = [(item.message.id, recipient.n) for item in waiting for recipient in item.recipients]
        if leases or until is not None:
            with contextlib.suppress(TemporaryFailure):  # the leases end by themselves
                await self._db.write(_give_back, self._owner, destination, leases, until, now)

    # Housekeeping

    async def _keep_house(self) -> None:
        day = -1
        while True:
            await asyncio.sleep(CHORES)
            try:
                if self._often is not None:
                    await self._often()
                    self.wake()  # it may have queued something
                today = int((self._clock.now() - DAILY_AT) // 86_400)
                if today != day:
                    day = today
                    await self._purge()
                    if self._daily is not None:
                        await self._daily()
            except StoreError as error:
                log.warning("the queue's housekeeping waits for the store: %s", error)
            except Exception:
                log.exception("the queue's housekeeping failed; it will be tried again")

    async def _extend_leases(self) -> None:
        """Keep up what we know of, and forget what is another's by now; what we do not know of the sweep takes back."""
        messages: list[Claimed | Finding] = [
            *self._claimed.values(),
            *self._busy.values(),
            *self._recorder.findings,
        ]
        leases = [(item.message.id, recipient.n) for item in messages for recipient in item.recipients]
        if leases:
            lost = await self._db.write(model.extend_leases, self._owner, leases, self._clock.now() + LEASE)
            self._forget(lost)

    def _forget(self, lost: Collection[tuple[int, int]]) -> None:
        """Do not try these recipients (message, n); the planner finds out when their turn comes."""
        if not lost:
            return
        forgotten = 0
        for key, item in list(self._claimed.items()):
            left = tuple(one for one in item.recipients if (item.message.id, one.n) not in lost)
            forgotten += len(item.recipients) - len(left)
            if left:
                self._claimed[key] = item._replace(recipients=left)
            else:
                del self._claimed[key]
        if forgotten:
            log.warning("the leases of %d recipients have ended; they are claimed anew", forgotten)

    async def _purge(self) -> None:
        now = self._clock.now()
        await self._db.write(usage.purge, now)
        while await self._db.write(trace.purge, now, self._trace_for):
            pass


def _give_back(
    tx: Transaction,
    owner: str,
    destination: str,
    leases: list[tuple[int, int]],
    until: float | None,
    now: float,
) -> None:
    model.release_leases(tx, owner, now, leases)
    if until is not None:
        lanes.rest(tx, destination, until)
