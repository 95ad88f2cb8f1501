"""Running the server until a signal ends it: what `serve` and `demo` share."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import json
import logging
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mailwright.cli.owner import give_to_owner_of

if TYPE_CHECKING:
    from mailwright.app.server import App
    from mailwright.config import Config, Log


def run_server(config: Config, on_ready: Callable[[App], Awaitable[None]]) -> None:
    """Start the server, call `on_ready` once it listens, and stop it cleanly at SIGINT or SIGTERM.

    Raises what the start raises: OSError for an address in use, StoreError, BadCertificate; and AlreadyRunning.
    """
    import uvloop

    _raise_file_limit()
    with lock_data(config):
        uvloop.run(_serve(config, on_ready))


class AlreadyRunning(OSError):
    """Another server works on the same data folder."""


@contextlib.contextmanager
def lock_data(config: Config) -> Iterator[None]:
    """Hold the data folder while a server runs on it, or while it is replaced. Raises AlreadyRunning."""
    config.server.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = config.server.data / "server.lock"
    with path.open("a") as file:
        give_to_owner_of(config.server.data, path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunning(f"a server runs on {config.server.data} already; stop it first") from error
        yield


def set_up_log(log: Log) -> None:
    """Send the log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JSONFormatter() if log.format == "json" else _TextFormatter())
    logging.basicConfig(level=log.level.upper(), handlers=[handler], force=True)
    for chatty in ("asyncio", "httpx", "httpcore", "psycopg.pool"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


async def _serve(config: Config, on_ready: Callable[[App], Awaitable[None]]) -> None:
    from mailwright.app.server import App

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    app = App(config)
    await app.start()
    _quiet_collector()
    try:
        await on_ready(app)
        await stop.wait()
    finally:
        await app.stop()


def _quiet_collector() -> None:
    """What is loaded stays: the collector need not look at it again."""
    gc.collect()
    gc.freeze()


def _raise_file_limit() -> None:
    """Each connection takes a file descriptor; the usual soft limit of 1024 is far below ours."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        stamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        room = record.name.removeprefix("mailwright.")
        text = f"{stamp[:-6]}Z {record.levelname.lower():7} {room}: {record.getMessage()}"
        if not text.isprintable():  # a peer's words must neither forge a line of ours nor drive a terminal
            text = "".join(
                char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
            )
        return text + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


class _JSONFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "room": record.name.removeprefix("mailwright."),
            "text": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
