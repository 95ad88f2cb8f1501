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
FED_WHOLE_ONLY = {
    dialog.name for dialog in DIALOGS if any(setting.words == ["once"] for setting in dialog.settings)
}
RUNS = [
    pytest.param(dialog, bytewise, id=f"{dialog.name}-{'octets' if bytewise else 'lines'}")
    for dialog in DIALOGS
    for bytewise in (False, True)
    if not (bytewise and dialog.name in FED_WHOLE_ONLY)
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def store(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Store]:
    async with open_store(tmp_path_factory.mktemp("imap")) as opened:
        yield opened


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("dialog", "bytewise"), RUNS)
async def test_dialog(store: Store, dialog: Dialog, bytewise: bool) -> None:
    await House(store, dialog).play(bytewise)
