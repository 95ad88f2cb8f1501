"""Runs a search for a session: makes sure of the index, goes through the portions, tells of progress."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from mailwright.imap.news import find_messages
from mailwright.imap.search.program import Plan, make_plan, message_sets, prepare
from mailwright.imap.search.rows import Packed, decide, read_block, read_packed, start
from mailwright.imap.selected import Selected
from mailwright.imap.syntax import search as keys
from mailwright.imap.syntax.sequence import Range, join_ranges
from mailwright.imap.view import Key
from mailwright.store import search

if TYPE_CHECKING:
    from mailwright.imap.session import Session

_FEW: Final = 2000  # messages in which the database finds some briefly
PROGRESS: Final = 10.0  # seconds of silence after which the client hears how far we are (RFC 9585 3)


class Found(NamedTuple):
    """UIDs, rising, and the highest mod-sequence among them (0 when it was not asked for)."""

    uids: array[int]
    modseq: int


async def find(
    session: Session, selected: Selected, program: keys.Key, tag: str = "", with_modseq: bool = False
) -> Found:
    """The messages of the client's view that match."""
    ready = prepare(program, await resolve(session, program))
    view = selected.view
    plan = make_plan(ready, view.uidnext - 1, session.service.now(), view.recents, with_modseq)
    return await run_plan(session, selected.key, plan, view.count, tag)


async def resolve(session: Session, program: keys.Key) -> dict[keys.Key, list[Range]]:
    """The UIDs that each message set of a program means now; a number that no message has means none."""
    resolved: dict[keys.Key, list[Range]] = {}
    for one in message_sets(program):
        runs = await find_messages(session, one.numbers, isinstance(one, keys.Uids), beyond=True)
        resolved[one] = join_ranges([(run.uids[0], run.uids[-1]) for run in runs])
    return resolved


async def run_plan(session: Session, key: Key, plan: Plan, count: int, tag: str) -> Found:
    """Answer a plan over a mailbox of about `count` messages."""
    if plan.low > plan.high:
        return Found(array("I"), 0)
    store = session.service.store
    account = key[0]
    if plan.texts:
        await _want_index(session, account)
    if plan.rest is None and not plan.with_modseq:
        read = store.read_briefly if count <= _FEW else store.read
        return Found(await _find_packed(read, key, plan), 0)
    begun = await store.read(start, key, plan, count)
    progress = _Progress(session, tag, count)
    uids = array("I")
    modseq = 0
    last = plan.high
    while last:
        block = await store.read(read_block, key, plan, begun.chosen, last)
        rows = block.rows
        if plan.rest is not None:
            rows = []
            looked = 0
            while looked < len(block.rows):
                done = await store.read(decide, account, plan, begun.hits, block.rows, looked)
                rows += done.rows
                looked += done.looked
                await progress.tell(done.looked)
        uids.extend([row[0] for row in rows])
        if plan.with_modseq and rows:
            modseq = max(modseq, max([row[-1] if plan.rest is None else row[2] for row in rows]))
        last = block.last
    uids.reverse()
    return Found(uids, modseq)


async def _find_packed(read: Callable[..., Awaitable[Packed]], key: Key, plan: Plan) -> array[int]:
    """The messages of a plan that the database answers alone."""
    blocks: list[list[int]] = []
    last = plan.high
    while last:
        packed = await read(read_packed, key, plan, last)
        blocks.append(packed.uids)
        last = packed.last
    found = array("I")
    for block in reversed(blocks):
        found.fromlist(block)
    return found


async def _want_index(session: Session, account: int) -> None:
    """An account that searches text gets an index."""
    service = session.service
    if await service.store.read(search.read_indexed, account) is None:
        await service.store.write(search.begin, account)
        service.wake_indexer(account)


class _Progress:
    """Tells the client of a long search that we are alive."""

    def __init__(self, session: Session, tag: str, goal: int) -> None:
        self._session = session
        self._tag = tag
        self._goal = goal
        self._done = 0
        self._told = asyncio.get_running_loop().time()

    async def tell(self, count: int) -> None:
        self._done += count
        now = asyncio.get_running_loop().time()
        if self._tag and now - self._told >= PROGRESS:
            self._told = now
            code = f'INPROGRESS ("{self._tag}" {self._done} {max(self._goal, self._done)})'
            self._session.write(self._session.untagged("OK", "Still searching", code))
            await self._session.drain()
