"""Every dialog in dialogs/, fed by the line and octet by octet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.stores import open_store

from imap.dialog import Dialog, read_dialogs
from imap.house import House
from mailwright.store.store import Store

DIALOGS = read_dialogs(Path(__file__).parent / "dialogs")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def store(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Store]:
    async with open_store(tmp_path_factory.mktemp("imap")) as opened:
        yield opened


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("bytewise", [False, True], ids=["lines", "octets"])
@pytest.mark.parametrize("dialog", DIALOGS, ids=lambda dialog: dialog.name)
async def test_dialog(store: Store, dialog: Dialog, bytewise: bool) -> None:
    if bytewise and any(setting.words == ["once"] for setting in dialog.settings):
        pytest.skip("is meant to be fed whole")
    await House(store, dialog).play(bytewise)
