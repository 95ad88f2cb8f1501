"""Calls the hooks: each within its time, none with the power to lose mail."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mailwright.hooks.api import Answer, Redirect, Refuse, Tag, check_answer
from mailwright.hooks.loader import Hook

log = logging.getLogger(__name__)

MAX_THREADS: Final = 16  # of plain functions that run at the same time, those that hang included
MAX_TOLD: Final = 1000  # events that may wait for the hooks that only listen

_VERDICTS: Final = {Refuse: "refuse", Tag: "tag", Redirect: "redirect"}
_FAILED: Final = Refuse("Something went wrong on this server; try again later", 451, "4.3.0")


@dataclass
class Decision:
    """What all hooks together said of one event. `verdicts` are (hook, verdict, why), for the record."""

    verdicts: list[tuple[str, str, str]] = field(default_factory=list)
    refusal: Refuse | None = None
    fields: list[tuple[str, str]] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    redirect: tuple[str, ...] | None = None

    def take(self, name: str, answers: Sequence[Answer]) -> None:
        for answer in answers:
            text = ""
            if isinstance(answer, Refuse):
                self.refusal = self.refusal or answer
                text = answer.text
            elif isinstance(answer, Tag):
                self.fields += answer.fields
                self.flags += answer.flags
                text = ", ".join([*(key for key, _ in answer.fields), *answer.flags])
            else:
                self.redirect = answer.recipients
                text = ", ".join(answer.recipients) or "nobody"
            self.verdicts.append((name, _VERDICTS[type(answer)], text))
        if not answers:
            self.verdicts.append((name, "pass", ""))


class Hooks:
    """The hooks of a server. `ask` them, or `tell` them; `wants` says at no cost whether there are any."""

    def __init__(self, hooks: Sequence[Hook] = ()) -> None:
        self._hooks: dict[type, list[Hook]] = {}
        for hook in hooks:
            self._hooks.setdefault(hook.to.event, []).append(hook)
        self._threads = asyncio.Semaphore(MAX_THREADS)
        self._told: asyncio.Queue[object] = asyncio.Queue(MAX_TOLD)
        self._teller: asyncio.Task[None] | None = None

    def wants(self, event: type) -> bool:
        """Whether some hook is there for an event."""
        return event in self._hooks

    async def ask(self, event: object) -> Decision:
        """Call the hooks one after another, until one refuses. Raises nothing."""
        decision = Decision()
        for hook in self._hooks.get(type(event), ()):
            try:
                answers = check_answer(event, await self._call(hook, event))
            except Exception as error:
                why = _explain(error, hook)
                log.exception("the hook %s failed: %s", hook.name, why)
                decision.verdicts.append((hook.name, "error", why))
                if hook.to.failure == "defer":
                    decision.refusal = _FAILED
            else:
                decision.take(hook.name, answers)
            if decision.refusal is not None:
                break
        return decision

    def tell(self, event: object) -> None:
        """Have the hooks called soon, in the order of the events; what is too much for them is dropped."""
        if self._teller is None:
            self._teller = asyncio.create_task(self._tell_all(), name="hooks")
        try:
            self._told.put_nowait(event)
        except asyncio.QueueFull:
            log.warning("the hooks are too slow: %r is not told", event)

    async def _tell_all(self) -> None:
        while True:
            event = await self._told.get()
            await self.ask(event)
            self._told.task_done()

    async def drain(self) -> None:
        """Wait until all that was told has been heard."""
        await self._told.join()

    async def close(self, timeout: float = 3.0) -> None:
        """Tell what waits, for so many seconds at most, and end."""
        if self._teller is not None:
            try:
                async with asyncio.timeout(timeout):
                    await self.drain()
            except TimeoutError:
                log.warning("%d events were not told to the hooks", self._told.qsize())
            self._teller.cancel()

    async def _call(self, hook: Hook, event: object) -> object:
        async with asyncio.timeout(hook.to.timeout):
            if hook.is_async:
                return await hook.function(event)
            return await self._in_thread(hook.function, event)

    async def _in_thread(self, function: Callable[[Any], Any], event: object) -> object:
        """Run a plain function in a thread that does not keep the server from ending when it hangs."""
        await self._threads.acquire()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[object] = loop.create_future()

        def done(result: object, error: BaseException | None) -> None:
            self._threads.release()
            if future.done():
                return  # too late
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

        def run() -> None:
            result: object = None
            failure: BaseException | None = None
            try:
                result = function(event)
            except BaseException as error:
                # StopIteration cannot pass through a future, SystemExit must not.
                passes = isinstance(error, Exception) and not isinstance(error, StopIteration)
                failure = error if passes else RuntimeError(repr(error))
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(done, result, failure)

        threading.Thread(target=run, name="hook", daemon=True).start()
        return await future


def _explain(error: Exception, hook: Hook) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return f"it took longer than {hook.to.timeout:g} s"
    return f"{type(error).__name__}: {error}"
