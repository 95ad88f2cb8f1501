"""The demo server and clean mailboxes for the clients that people use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from clients.mail import Person, Runner
from support.demo import Demo


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    demo = Demo(tmp_path_factory.mktemp("demo") / "data").start()
    yield demo
    assert demo.stop() == 0


@pytest.fixture
def alice(demo: Demo) -> Person:
    """Alice with an empty INBOX and no mailboxes of her own."""
    return Person.cleared(demo, 0)


@pytest.fixture
def bob(demo: Demo) -> Person:
    return Person.cleared(demo, 1)


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    """Runs a program from Debian with an empty home."""
    return Runner(tmp_path)
