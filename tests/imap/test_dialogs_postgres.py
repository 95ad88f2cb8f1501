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


# Each process knows for itself what is \\Recent, and the keywords that its sessions met.
OF_ONE_PROCESS = {
    "news: another client's new message",
    "news: new messages while an expunge is held back",
    "news: only one session has a message as \\Recent",
    "qresync: a client that comes back is told what it missed",
    "replace: two clients replace the same message",
    "store: FLAGS names the keywords in use, for who comes later too",
}
APART = [
    dialog
    for dialog in DIALOGS
    if any(turn.client > 1 for turn in dialog.turns) and dialog.name not in OF_ONE_PROCESS
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stores(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Store, Store]]:
    folder = tmp_path_factory.mktemp("imap")
    with postgres_server.database() as dsn:
        async with open_postgres_store(dsn, folder) as one, open_postgres_store(dsn, folder) as two:
            yield one, two


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("dialog", CHOSEN, ids=[dialog.name for dialog in CHOSEN])
async def test_dialog(stores: tuple[Store, Store], dialog: Dialog) -> None:
    await House(stores[0], dialog).play(bytewise=False)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("dialog", APART, ids=[dialog.name for dialog in APART])
async def test_dialog_of_clients_on_two_processes(stores: tuple[Store, Store], dialog: Dialog) -> None:
    await House(stores[0], dialog, stores[1:]).play(bytewise=False)
