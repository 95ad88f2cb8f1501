"""Whose the files are that a command makes: root often runs one, the server is another user."""

from __future__ import annotations

import os
from pathlib import Path


def give_to_owner_of(folder: Path, made: Path) -> None:
    """Let `made`, and all below it, belong to whom `folder` belongs to; only root can, and needs to."""
    if os.geteuid() != 0:
        return
    owner = folder.stat()
    for path in [made, *made.rglob("*")]:
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
