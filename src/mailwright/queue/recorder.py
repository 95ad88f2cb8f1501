"""What became of the attempts: decided, and recorded many at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from mailwright.base.clock import Clock
from mailwright.hooks import AttemptFinished, RecipientResult
from mailwright.hooks.caller import Hooks
from mailwright.queue import model
from mailwright.queue.carrier import Attempt
from mailwright.queue.model import Claimed, Finding, Reporter, Rules
from mailwright.queue.values import Outcome, Recipient, Result
from mailwright.store.db.api import Database
from mailwright.store.errors import TemporaryFailure

log = logging.getLogger(__name__)

_PAUSE: Final = 1.0  # seconds before the store is tried again
_QUIET: Final = (Outcome.SENT, Outcome.DELIVERED, Outcome.RELAYED)
_BATCH: Final = 256
_GATHER: Final = 0.005  # between records, when results come so fast that several are recorded at once
_UNRECORDED: Final = 2000  # findings that may wait before the couriers do


class Recorder:
    """Keeps the findings until the store has them. `wake` is called when one makes something due again."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        owner: str,
        rules: Rules,
        report: Reporter | None,
        roll: Callable[[], float],
        hooks: Hooks | None,
        wake: Callable[[], None],
    ) -> None:
        self._db = db
        self._clock = clock
        self._owner = owner
        self._rules = rules
        self._report = report
        self._roll = roll
        self._hooks = hooks if hooks is not None and hooks.wants(AttemptFinished) else None
        self._wake = wake
        self._stopping = False
        self._found = asyncio.Event()
        self.findings: list[Finding] = []
        self.room = asyncio.Event()  # the store takes findings, and no more of them wait than may
        self.room.set()

    def add(self, claimed: Claimed, attempt: Attempt) -> None:
        """What became of an attempt."""
        now = self._clock.now()
        roll = self._roll()  # one for all: they are to be tried together again
        results = [
            self._decide(claimed, recipient, result, now, roll)
            for recipient, result in zip(claimed.recipients, attempt.results, strict=True)
        ]
        event = {**attempt.event, "results": [_describe(*row) for row in results]}
        self.findings.append(Finding(claimed.lane, claimed.message, now, tuple(results), event))
        self._found.set()
        if self._hooks is not None:
            self._hooks.tell(_told(claimed, attempt.event, results))
        if len(self.findings) > _UNRECORDED:
            self.room.clear()

    def stop(self) -> None:
        """Nothing more will be added: `run` ends when all is recorded."""
        self._stopping = True
        self._found.set()

    def _decide(
        self, claimed: Claimed, recipient: Recipient, result: Result, now: float, roll: float
    ) -> tuple[Recipient, Result, float | None]:
        if result.outcome is not Outcome.DEFERRED:
            return recipient, result, None
        retry_at = self._rules.schedule.retry_at(
            recipient.attempts + 1, now, claimed.message.expires_at, roll
        )
        if retry_at is None:
            result = Result(Outcome.FAILED, "expired", "5.4.7", result.text, result.code, result.host)
        return recipient, result, retry_at

    async def run(self) -> None:
        """Record until `stop`; what the store cannot take now is kept and tried again."""
        crowded = False
        while not self._stopping or self.findings:
            if not self.findings:
                await self._found.wait()
            if crowded and not self._stopping:
                await asyncio.sleep(_GATHER)
            self._found.clear()
            batch = self.findings[:_BATCH]
            crowded = len(batch) > 1
            if not batch:
                continue
            if not await self._record(batch):
                self.room.clear()  # what would be sent now might be sent again
                await asyncio.sleep(_PAUSE)
                continue
            if any(r.notify or result.outcome not in _QUIET for f in batch for r, result, _ in f.results):
                self._wake()  # something is due again, or a report was queued
            del self.findings[: len(batch)]
            if len(self.findings) <= _UNRECORDED // 2:
                self.room.set()

    async def _record(self, batch: list[Finding]) -> bool:
        """False when the store takes nothing now."""
        try:
            await self._db.write(model.record, self._owner, batch, self._rules, self._report)
        except TemporaryFailure as error:
            log.warning("results of %d attempts wait for the store: %s", len(batch), error)
            return False
        except Exception:
            if len(batch) == 1:
                log.exception("the result of an attempt cannot be recorded; its lease will end")
                return True
        else:
            return True
        await self._record_singly(batch)
        return True

    async def _record_singly(self, batch: list[Finding]) -> None:
        """One finding that cannot be recorded must not take the others with it."""
        for finding in batch:
            try:
                await self._db.write(model.record, self._owner, [finding], self._rules, self._report)
            except Exception:
                log.exception(
                    "the result for message %d cannot be recorded; its lease will end", finding.message.id
                )


def _told(
    claimed: Claimed,
    event: Mapping[str, object],
    results: list[tuple[Recipient, Result, float | None]],
) -> AttemptFinished:
    return AttemptFinished(
        claimed.message.id,
        claimed.message.reverse_path,
        claimed.lane.destination,
        str(event.get("host", "")),
        tuple(
            RecipientResult(recipient.address, result.outcome.value, result.status, result.text)
            for recipient, result, _ in results
        ),
    )


def _describe(recipient: Recipient, result: Result, retry_at: float | None) -> dict[str, object]:
    told: dict[str, object] = {
        "recipient": recipient.address,
        "outcome": result.outcome.value,
        "phase": result.phase,
        "status": result.status,
        "text": result.text,
    }
    if retry_at is not None:
        told["retry_at"] = retry_at
    return told
