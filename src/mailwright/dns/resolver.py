"""The stub resolver: asks recursive servers, remembers, and says what it could not learn."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import dns.name

from mailwright.base.clock import Clock, SystemClock
from mailwright.dns.api import RECORD_TYPES, Answer, DNSTemporary, Record, Status
from mailwright.dns.cache import Cache, Key
from mailwright.dns.servers import RESOLV_CONF, Server, parse_server, system_servers
from mailwright.dns.transport import ask_tcp, ask_udp
from mailwright.dns.wire import (
    CNAME_LIMIT,
    BadReply,
    NoEDNS,
    Query,
    Refused,
    Reply,
    ServFail,
    build_query,
    parse_name,
    plain,
    read_reply,
)

MAX_SOCKETS = 256  # questions under way at the same time; the others wait
LOOK_AGAIN = 30.0  # seconds between two looks at resolv.conf
REST = 30.0  # seconds for which a server that did not answer comes last


class StubResolver:
    """A `Resolver` over the network.

    `servers` are texts such as `127.0.0.1:5353`, asked in their order; none means those of resolv.conf, which
    may change. `timeout` is for one question to one server, `deadline` for a whole `resolve`, in seconds.

    An answer is secure only when its server is on loopback, `trust_ad` is set, and the AD bit came with it.
    The SERVFAIL of such a server is final: one that does not validate would pass bogus data on.
    """

    def __init__(
        self,
        servers: Sequence[str] = (),
        *,
        timeout: float = 2.0,
        deadline: float = 12.0,
        rounds: int = 2,
        trust_ad: bool = True,
        cache_entries: int = 10_000,
        clock: Clock | None = None,
        resolv_conf: Path = RESOLV_CONF,
    ) -> None:
        self._clock = clock or SystemClock()
        self._resolv_conf = None if servers else resolv_conf
        self._look_again = self._clock.monotonic() + LOOK_AGAIN
        self.servers = [parse_server(text) for text in servers] or system_servers(resolv_conf)
        self.cache = Cache(self._clock, cache_entries)
        self._timeout = timeout
        self._deadline = deadline
        self._rounds = rounds
        self._trust_ad = trust_ad
        self._resting: dict[Server, float] = {}  # silent servers -> when they come in their order again
        self._pending: dict[Key, asyncio.Task[Answer[Record]]] = {}
        self._sockets = asyncio.Semaphore(MAX_SOCKETS)

    async def resolve(self, name: str, rtype: str) -> Answer[Record]:
        """As `Resolver.resolve`. Equal questions that meet are asked once."""
        rtype = rtype.upper()
        if rtype not in RECORD_TYPES:
            raise ValueError(f"{rtype!r} is none of {', '.join(RECORD_TYPES)}")
        key = (name.lower().removesuffix("."), rtype)
        known = self.cache.get(key)
        if known is not None:
            return known
        absolute = parse_name(name)
        if absolute is None:
            return Answer(Status.NO_NAME, (), False, 0, name)
        task = self._pending.get(key)
        if task is None:
            task = asyncio.create_task(self._look_up(absolute, key))
            self._pending[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        # A caller that gives up must not take the answer from the others.
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Drop the questions under way."""
        tasks = list(self._pending.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, key: Key, task: asyncio.Task[Answer[Record]]) -> None:
        self._pending.pop(key, None)
        if not task.cancelled():
            task.exception()  # else a failure that nobody waits for any more is reported as lost

    async def _look_up(self, name: dns.name.Name, key: Key) -> Answer[Record]:
        rtype = key[1]
        try:
            async with asyncio.timeout(self._deadline):
                answer, size = await self._chase(name, rtype)
        except TimeoutError:
            text = f"{key[0]} {rtype}: no answer in {self._deadline:g} s from {self._list_servers()}"
            self.cache.put_failure(key, text)
            raise DNSTemporary(text) from None
        except DNSTemporary as error:
            self.cache.put_failure(key, str(error))
            raise
        self.cache.put(key, answer, size)
        return answer

    async def _chase(self, name: dns.name.Name, rtype: str) -> tuple[Answer[Record], int]:
        """The answer and the octets it took; asks again for the target of an alias that came alone."""
        secure, ttl, size, question = True, 0x7FFFFFFF, 0, name
        for _ in range(CNAME_LIMIT):
            reply, believed = await self._ask_any(question, rtype)
            secure = secure and believed and reply.authentic
            size += reply.size
            ttl = min(ttl, reply.ttl)
            if not reply.is_alias_only:
                return Answer(reply.status, reply.records, secure, ttl, plain(reply.canonical)), size
            question = reply.canonical
        raise DNSTemporary(f"{plain(name)} {rtype}: more than {CNAME_LIMIT} aliases in a row")

    async def _ask_any(self, name: dns.name.Name, rtype: str) -> tuple[Reply, bool]:
        """A reply from the first server that gives one, and whether its AD bit counts."""
        faults: dict[Server, str] = {}
        candidates = self._order_servers()
        for _ in range(self._rounds):
            silent: list[Server] = []
            for server in candidates:
                try:
                    reply = await self._ask_one(server, name, rtype)
                except BadReply as error:
                    faults[server] = str(error)
                    if isinstance(error, ServFail) and self._believes(server):
                        raise self._failure(name, rtype, faults) from error
                except TimeoutError:
                    faults[server] = "does not answer"
                    self._rest(server, silent)
                except OSError as error:
                    faults[server] = f"cannot be reached ({error.strerror or error})"
                    self._rest(server, silent)
                else:
                    self._resting.pop(server, None)
                    return reply, self._believes(server)
            if not silent:
                break
            candidates = silent
        raise self._failure(name, rtype, faults)

    def _failure(self, name: dns.name.Name, rtype: str, faults: dict[Server, str]) -> DNSTemporary:
        text = "; ".join(f"{server} {fault}" for server, fault in faults.items())
        return DNSTemporary(f"{plain(name)} {rtype}: {text}")

    def _order_servers(self) -> list[Server]:
        """As configured, the silent ones last; for a while only: the first may be the one that validates."""
        now = self._clock.monotonic()
        if self._resolv_conf is not None and now >= self._look_again:
            self._look_again = now + LOOK_AGAIN
            self.servers = system_servers(self._resolv_conf)
        return sorted(self.servers, key=lambda server: self._resting.get(server, 0.0) > now)

    def _believes(self, server: Server) -> bool:
        return self._trust_ad and server.is_loopback

    def _rest(self, server: Server, silent: list[Server]) -> None:
        silent.append(server)
        self._resting[server] = self._clock.monotonic() + REST

    async def _ask_one(self, server: Server, name: dns.name.Name, rtype: str) -> Reply:
        try:
            return await self._exchange(server, name, rtype, edns=True)
        except NoEDNS:
            return await self._exchange(server, name, rtype, edns=False)

    async def _exchange(self, server: Server, name: dns.name.Name, rtype: str, edns: bool) -> Reply:
        """By UDP, and by TCP when the datagram is truncated, malformed or not for us."""
        query = build_query(name, rtype, secrets.randbelow(65536), edns)
        try:
            return read_reply(name, rtype, await self._within_bounds(ask_udp, server, query))
        except (NoEDNS, Refused):
            raise
        except BadReply:
            return read_reply(name, rtype, await self._within_bounds(ask_tcp, server, query))

    async def _within_bounds(
        self, ask: Callable[[Server, Query], Awaitable[bytes]], server: Server, query: Query
    ) -> bytes:
        async with self._sockets, asyncio.timeout(self._timeout):
            return await ask(server, query)

    def _list_servers(self) -> str:
        return ", ".join(str(server) for server in self.servers)
