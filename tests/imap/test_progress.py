"""What a client hears while a command takes long (RFC 9585)."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from support.streams import TLS

from imap.dialog import Client
from mailwright.base.clock import ManualClock
from mailwright.imap.progress import patiently
from mailwright.imap.service import Service
from mailwright.imap.session import Session


async def number(value: int, seconds: float) -> int:
    await asyncio.sleep(seconds)
    return value


async def refuse() -> int:
    await asyncio.sleep(0.03)
    raise ValueError("no")


def new_session(client: Client) -> Session:
    store = directory = object()
    service = Service(
        store,  # type: ignore[arg-type]
        directory,  # type: ignore[arg-type]
        ManualClock(0),
        hostname="mail.example.org",
        server_secret=b"s" * 32,
    )
    return Session(client, service)


@pytest.mark.asyncio
async def test_long_work_is_told_of_until_it_is_done() -> None:
    client = Client(bytewise=False, tls=TLS)
    session = new_session(client)
    assert await patiently(session, "a7", 5000, number(3, 0.1), every=0.03) == 3
    lines = client.unread.decode().splitlines()
    assert 1 <= len(lines) <= 3
    assert all(line.startswith('* OK [INPROGRESS ("a7" NIL NIL)] ') for line in lines)


@pytest.mark.asyncio
async def test_short_work_and_small_sets_are_silent() -> None:
    client = Client(bytewise=False, tls=TLS)
    session = new_session(client)
    assert await patiently(session, "a", 5000, number(1, 0), every=1) == 1
    assert await patiently(session, "a", 10, number(2, 0.05), every=0.01) == 2
    assert client.unread == b""


@pytest.mark.asyncio
async def test_failure_and_cancellation_reach_the_work() -> None:
    session = new_session(Client(bytewise=False, tls=TLS))
    with pytest.raises(ValueError, match="no"):
        await patiently(session, "a", 5000, refuse(), every=0.01)
    work = asyncio.ensure_future(number(1, 60))
    waiting = asyncio.ensure_future(patiently(session, "a", 5000, work, every=10))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0)
    assert work.cancelled()
