"""Has a PDF read by a child process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from typing import Final

from mailwright.message.search import MAX_PDF
from mailwright.pdf.child import MAX_TEXT

log = logging.getLogger(__name__)

_PATIENCE: Final = 30.0  # seconds, for a child that does not even use the processor
_COMMAND: Final = (sys.executable, "-P", "-m", "mailwright.pdf.child")
_KEPT: Final = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")  # of the environment


async def pdf_text(data: bytes) -> str:
    """The text of a PDF, at most MAX_TEXT characters; '' for what is none, is too large, or cannot be read."""
    if len(data) > MAX_PDF:
        return ""
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    try:
        child = await asyncio.create_subprocess_exec(
            *_COMMAND, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environment
        )
    except OSError as error:  # no memory, too many processes
        log.warning("a PDF is left unread: %s", error)
        return ""
    text = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE):
            await asyncio.gather(_feed(child, data), _collect(child, text))
            await child.wait()
    except TimeoutError:
        log.info("a PDF took too long to read")
    finally:
        if child.returncode is None:
            child.kill()
            await asyncio.shield(child.wait())
    return text.decode("utf-8", "replace")[:MAX_TEXT]


async def _feed(child: Process, data: bytes) -> None:
    assert child.stdin is not None
    with contextlib.suppress(OSError):  # it may end before it has read all
        child.stdin.write(data)
        await child.stdin.drain()
    child.stdin.close()


async def _collect(child: Process, text: bytearray) -> None:
    assert child.stdout is not None
    while len(text) < 4 * MAX_TEXT and (piece := await child.stdout.read(65_536)):
        text += piece
