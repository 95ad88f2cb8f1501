"""Store operations that tell who reads, or make it hard, for processes that read beside the server."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

from mailwright.store.db.api import Transaction
from mailwright.store.db.sqlite import SQLiteDatabase


def reader(tx: Transaction) -> int:
    """Which process reads."""
    assert tx.one("SELECT 1") == (1,)
    return os.getpid()


def octets(tx: Transaction, number: int, size: int) -> bytes:
    return bytes([number]) * size


def content(tx: Transaction, blob: int) -> bytes:
    return tx.blobs.read_whole(tx, blob)


def names(tx: Transaction) -> list[str]:
    return [name for (name,) in tx.all("SELECT name FROM settings")]


def die(tx: Transaction, server: int) -> str:
    if os.getpid() == server:
        return "the server did it"
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def wait_for(tx: Transaction, file: str) -> None:
    """Be busy until the file is there."""
    while not Path(file).exists():
        time.sleep(0.01)


async def started(db: SQLiteDatabase, other_than: int = 0) -> int:
    """The id of a process that reads."""
    async with asyncio.timeout(60):
        while (pid := await db.read_apart(reader)) in (os.getpid(), other_than):
            await asyncio.sleep(0.01)
    return pid
