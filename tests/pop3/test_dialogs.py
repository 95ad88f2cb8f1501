"""The dialogs, each sent line by line, octet by octet and all at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import get_args

import pytest
from support.dialogs import Manner, play, read_dialog
from support.pop3 import Pop3House
from support.streams import TLS, MemoryStream

from mailwright.pop3.service import Policy

DIALOGS = {path.stem: read_dialog(path) for path in sorted((Path(__file__).parent / "dialogs").glob("*.txt"))}
# What is pipelined behind STLS is dropped, so those dialogs go step by step.
CASES = [
    (name, manner)
    for name, dialog in DIALOGS.items()
    for manner in get_args(Manner)
    if manner != "pipelined" or "lockstep" not in dialog.given
]
MAILDROP = (
    b"Subject: one\r\n\r\nHello, world\r\n",
    b"Subject: two\r\n\r\n.\r\n.two\r\n..three\r\nmiddle . dot\r\n\r\n",
    b"Subject: three\r\n\r\nno line end at all",
)


@pytest.mark.parametrize(("name", "manner"), CASES)
async def test_dialog(name: str, manner: Manner, house: Pop3House) -> None:
    dialog = DIALOGS[name]
    await house.put(*MAILDROP)
    house.policy = Policy(allow_plaintext_auth="plaintext" in dialog.given)
    stream = MemoryStream(tls=TLS if "tls" in dialog.given else None)
    async with house.session(stream) as task:
        await play(dialog, stream, manner)
        await asyncio.wait([task], timeout=60)
        assert task.done()
    if "nothing removed" in dialog.given:
        assert await house.kept() == [1, 2, 3]
