"""A store with one domain of ours, over SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.stores import open_store

from mailwright.directory.domains import add_domain
from mailwright.store.store import Store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path) as store:
        await store.write(add_domain, "Example.ORG", now=1)
        yield store
