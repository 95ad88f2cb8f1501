from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cli.command import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell without an installation."""
    return Shell(tmp_path)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation that is only copied: making an RSA key takes a while."""
    return Shell(tmp_path_factory.mktemp("installed")).install().folder


@pytest.fixture
def mailwright(shell: Shell, installed: Path) -> Shell:
    """A shell with an installation: example.org, alice@example.org."""
    shutil.copytree(installed, shell.folder, dirs_exist_ok=True)
    shell.config.write_text(shell.config.read_text().replace(str(installed), str(shell.folder)))
    return shell
