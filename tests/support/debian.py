"""Programs of Debian packages that cannot be installed beside each other: unpacked into a folder of the tests' own.

`python tests/support/debian.py` fetches what is missing; a test never does.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parents[2] / "build" / "debian"
PACKAGES: Final = {"exim4-daemon-light": "usr/sbin/exim4", "opensmtpd": "usr/sbin/smtpd"}


def unpacked(package: str) -> Path:
    """The package's tree, or skip the test."""
    import pytest

    folder = FOLDER / package
    if not (folder / PACKAGES[package]).exists():
        pytest.skip(
            f"needs the Debian package {package}; it is unpacked, not installed: python {Path(__file__).name}"
        )
    return folder


def fetch(package: str) -> None:
    """Unpack a package into its folder unless it is there. Raises CalledProcessError."""
    folder = FOLDER / package
    if folder.exists():
        return
    with tempfile.TemporaryDirectory() as name:
        subprocess.run(
            ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package], cwd=name, check=True
        )
        (archive,) = Path(name).glob("*.deb")
        tree = Path(name) / "tree"
        subprocess.run(["dpkg", "-x", str(archive), str(tree)], check=True)
        FOLDER.mkdir(parents=True, exist_ok=True)
        shutil.move(tree, folder)


if __name__ == "__main__":
    for package in PACKAGES:
        fetch(package)
