"""The dialogs about what the store does and tells, over PostgreSQL; `test_dialogs` has all of them over SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from support.postgres import PostgresServer
from support.stores import open_postgres_store

from imap.dialog import Dialog
from imap.house import House
from imap.test_dialogs import DIALOGS
from mailwright.store.store import Store

FILES = (
    "acl",
    "condstore",
    "context",
    "idle",
    "mailboxes",
    "metadata",
    "moving",
    "news",
    "notify",
    "qresync",
    "quota",
    "store",
    "uidonly",
)
CHOSEN = [dialog for dialog in DIALOGS if dialog.name.partition(":")[0] in FILES]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def store(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Store]:
    with PostgresServer() as server:
        async with open_postgres_store(server.new_database(), tmp_path_factory.mktemp("imap")) as opened:
            yield opened


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("dialog", CHOSEN, ids=[dialog.name for dialog in CHOSEN])
async def test_dialog(store: Store, dialog: Dialog) -> None:
    await House(store, dialog).play(bytewise=False)
