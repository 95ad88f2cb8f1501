"""A POP3 server with an empty maildrop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.accounts import new_account
from support.pop3 import ADDRESS, Pop3House
from support.stores import open_store

from mailwright.store import mailboxes
from mailwright.tls.certificates import ensure_self_signed


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Pop3House]:
    async with open_store(tmp_path) as store:
        account = await store.write(new_account, ADDRESS)
        inbox = await store.read(mailboxes.find_mailbox, account, "INBOX")
        yield Pop3House(store, account, inbox.id)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of localhost, and its key."""
    return ensure_self_signed(tmp_path_factory.mktemp("tls"), ["localhost", "127.0.0.1"])
