"""The world, once for all tests of a process; a server for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from peers.house import HOST, House, World, open_house, zones
from support.demo import free_port
from support.nameservers import serve_zones
from support.peer import Authority

GOOD = tuple(f"mx.{name}.test" for name in ("peer", "postfix", "exim", "opensmtpd", "sts", "dane", "danebad"))


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    authority, port = Authority(folder), free_port()
    authority.context(*GOOD)
    authority.context(HOST)
    authority.context("elsewhere.test", days=-5)
    good, ours = folder / f"{GOOD[0]}-30.pem", folder / f"{HOST}-30.pem"
    with serve_zones(folder, zones(port, good), signed=["dane.test", "danebad.test"]) as servers:
        yield World(authority, servers.unbound, port, good, ours)


@pytest.fixture
def trusting(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' certificate authority is the one that this system trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(world.authority.file))


@pytest.fixture
async def house(world: World, tmp_path: Path, trusting: None) -> AsyncIterator[House]:
    async with open_house(world, tmp_path) as house:
        yield house
