"""Where the recipients of a message go: accounts here, addresses elsewhere, or back along a rewritten sender."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mailwright.base.clock import Clock
from mailwright.directory.errors import (
    AccountDisabled,
    AliasLoop,
    InvalidAddress,
    NoSuchUser,
    NotLocal,
    NotSetUp,
)
from mailwright.directory.resolve import Destination, Resolution, resolve
from mailwright.queue.srs import InvalidAddress as InvalidRewriting
from mailwright.queue.srs import Rewriter
from mailwright.smtp import replies
from mailwright.smtp.replies import Reply
from mailwright.smtp.syntax.path import Path, PathFault, parse_mailbox
from mailwright.store.db.api import Transaction
from mailwright.store.errors import TemporaryFailure
from mailwright.store.quota import read_room
from mailwright.store.settings import secret
from mailwright.store.store import Store

_FRESH = 1.0  # seconds for which an answer is used again; the delivery itself asks anew
_AHEAD = (
    0.5  # seconds before that ends: who asks now has it asked again, so that in a busy minute nobody waits
)
_REMEMBERED = 10_000

NOWHERE = Resolution((), ())

IsUs = Callable[
    [str], bool
]  # whether a domain is the server's own name, or an address literal that stands for it


@dataclass(frozen=True, slots=True)
class Route:
    """Where one recipient's mail goes; `refusal` when nowhere."""

    resolution: Resolution = NOWHERE
    local: bool = False  # the address is in a domain of ours
    room: int | None = None  # octets that the fullest of its accounts can take; None: no quota
    refusal: Reply | None = None

    @property
    def remote(self) -> tuple[str, ...]:
        return self.resolution.remote


class Router:
    """Asks the directory, with a short memory: the recipients of a busy minute are often the same."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        separator: str,
        hostname: str,
        is_us: IsUs,
        rewriter: Callable[[str], Rewriter],
    ) -> None:
        self._store = store
        self._clock = clock
        self._separator = separator
        self._hostname = hostname
        self._is_us = is_us
        self._rewriter = rewriter
        self._answers: OrderedDict[str, tuple[float, Route]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Route]] = {}

    def known(self, path: Path) -> Route | None:
        """The answer for a forward-path, if it is remembered."""
        now = self._clock.monotonic()
        address = self._address(path)
        known = self._answers.get(address)
        if known is None or known[0] <= now:
            return None
        if known[0] < now + _AHEAD:
            self._begin(address)
        return known[1]

    async def route(self, path: Path) -> Route:
        """Where mail for a forward-path goes. Raises TemporaryFailure."""
        known = self.known(path)
        if known is not None:
            return known
        return await asyncio.shield(self._begin(self._address(path)))

    def _address(self, path: Path) -> str:
        return f"{path.local}@{path.domain or self._hostname}"

    def _begin(self, address: str) -> asyncio.Task[Route]:
        """Ask the directory, once for all who want to know."""
        task = self._asking.get(address)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._refresh(address))
            self._asking[address] = task
            task.add_done_callback(lambda done: self._end(address, done))
        return task

    def _end(self, address: str, task: asyncio.Task[Route]) -> None:
        del self._asking[address]
        if not task.cancelled():
            task.exception()  # who waits is told; without one there is nobody to tell

    async def _refresh(self, address: str) -> Route:
        asked_at = self._clock.monotonic()
        route = await self._ask(address)
        if route.refusal is not None:  # a refusal is for good: it must not outlive its reason
            self._answers.pop(address, None)
            return route
        self._answers[address] = (asked_at + _FRESH, route)
        self._answers.move_to_end(address)
        if len(self._answers) > _REMEMBERED:
            self._answers.popitem(last=False)
        return route

    async def _ask(self, address: str) -> Route:
        try:
            resolution, room = await self._store.look_up(_look_up, address, self._separator, self._is_us)
            route = Route(resolution, local=True, room=room)
        except NotLocal:
            return Route(Resolution((), (_quoted(address),)))
        except NotSetUp:
            return Route(refusal=replies.NOT_SET_UP)
        except NoSuchUser:
            route = Route(local=True, refusal=replies.NO_SUCH_USER)
        except AccountDisabled:
            return Route(local=True, refusal=replies.ACCOUNT_DISABLED)
        except AliasLoop:
            return Route(local=True, refusal=replies.ALIAS_TO_NOBODY)
        except InvalidAddress as error:
            return Route(refusal=replies.bad_mailbox(False, str(error)))
        # A bounce to a sender that we rewrote when we forwarded its mail goes back to it, before any catch-all.
        sender = reverse(self._rewriter(address.rpartition("@")[2]), address, self._clock.now())
        return route if sender == address else replace(await self._ask(sender), local=True)

    async def redirect(self, addresses: Sequence[str]) -> Route:
        """One route to all these addresses, as if an alias led there. Raises TemporaryFailure, also for a bad one."""
        accounts: dict[int, Destination] = {}
        remote: dict[str, None] = {}
        for address in addresses:
            try:
                route = await self.route(parse_mailbox(address))
            except PathFault as fault:
                route = Route(refusal=fault.reply)
            if route.refusal is not None:
                raise TemporaryFailure(f"a hook redirects mail to {address}: {route.refusal.lines[0]}")
            accounts |= {found.account: found for found in route.resolution.accounts}
            remote |= dict.fromkeys(route.remote)
        return Route(Resolution(tuple(accounts.values()), tuple(remote)), local=True)

    def rewrite(self, reverse_path: Path, domain: str, now: float) -> str:
        """The sender with which an alias in `domain` forwards mail."""
        if reverse_path.is_null:
            return ""
        address = f"{reverse_path.local}@{reverse_path.domain}"
        return _quoted(self._rewriter(domain or self._hostname).forward(address, now))


def reverse(rewriter: Rewriter, address: str, now: float) -> str:
    """The sender behind a reverse-path that `rewriter` made; any other address as it is."""
    try:
        return rewriter.reverse(address, now)
    except InvalidRewriting:
        return address


def way_back(tx: Transaction, reverse_path: str, now: float) -> str:
    """Who is told of a message with this reverse-path: the sender itself, also of what was forwarded for an alias."""
    secrets = (secret(tx, "srs"),)
    while (
        sender := reverse(Rewriter(reverse_path.rpartition("@")[2], secrets), reverse_path, now)
    ) != reverse_path:
        reverse_path = _quoted(sender)
    return reverse_path


def _quoted(address: str) -> str:
    """As the queue takes it: with the local part in quotes where RFC 5321 4.1.2 asks for them."""
    local, _, domain = address.rpartition("@")
    return str(Path(local, domain))


def resolve_ours(tx: Transaction, address: str, separator: str, is_us: IsUs) -> Resolution:
    """As `resolve`, and the postmaster of the server itself is that of our oldest domain (RFC 5321 4.5.1).

    Raises NotSetUp too.
    """
    try:
        return resolve(tx, address, separator)
    except NotLocal:
        domain = _oldest_domain(tx)
        local, _, where = address.rpartition("@")
        if local.lower() != "postmaster" or not is_us(where):
            raise
        return resolve(tx, f"postmaster@{domain}", separator)


def _look_up(tx: Transaction, address: str, separator: str, is_us: IsUs) -> tuple[Resolution, int | None]:
    """Where an address leads, and how much room there is."""
    resolution = resolve_ours(tx, address, separator, is_us)
    rooms = [read_room(tx, destination.account) for destination in resolution.accounts]
    if any(room.messages is not None and room.messages <= 0 for room in rooms):
        return resolution, 0
    return resolution, min((room.octets for room in rooms if room.octets is not None), default=None)


def _oldest_domain(tx: Transaction) -> str:
    """Raises NotSetUp: without its data (a disk that is not mounted) a server must not send everybody's mail back."""
    row = tx.one("SELECT name FROM domains ORDER BY created_at, name LIMIT 1")
    if row is None:
        raise NotSetUp("no domain is set up here")
    return str(row[0])
