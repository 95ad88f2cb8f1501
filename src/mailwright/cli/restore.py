"""`mailwright restore`."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mailwright.cli.backup import MANIFEST, POSTGRES, SQLITE, digest, verify_sqlite
from mailwright.cli.options import with_config
from mailwright.cli.output import confirm, fail

if TYPE_CHECKING:
    from mailwright.config import Config


@click.command()
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_config
def restore(config: Config, source: Path, yes: bool) -> None:
    """Put a backup in place of the store. The server must be stopped.

    The backup is verified first; what is there now is moved aside, not deleted.

    Example: mailwright restore /backup/mail-2026-11-23
    """
    from mailwright.cli.running import lock_data

    manifest = _manifest(source)
    with lock_data(config):
        for name, kept in manifest["files"].items():
            if not (source / name).is_file() or digest(source / name) != kept:
                fail(f"{source / name} is missing or was changed; the backup cannot be trusted")
        if (source / POSTGRES).exists() != config.is_postgres:
            fail(
                "the backup and the configuration do not name the same kind of database; see [store] database"
            )
        if not config.is_postgres:
            verify_sqlite(source / SQLITE, source / "blobs", content=False)
        if not yes:
            confirm(f"Replace the store by the backup of {manifest['made_at']}?")
        aside = None
        if config.is_postgres:
            _replace_postgres(config, source)
        else:
            aside = _replace(config, source)
    click.echo(f"Restored {source}." + (f" What was there is in {aside}." if aside else ""))


def _manifest(source: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((source / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError) as error:
        fail(f"{source} is no backup: {MANIFEST} cannot be read ({error})")
    return manifest


def _replace(config: Config, source: Path) -> Path | None:
    """Move what is there aside, and copy the backup; where the old files went."""
    database = Path(config.database)
    aside = config.server.data / f"before-restore-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    places = {SQLITE: database, "dkim": config.dkim_directory}
    if config.store.blobs != "database":
        places["blobs"] = Path(config.store.blobs)
    old = [*places.values(), *(database.with_name(database.name + end) for end in ("-wal", "-shm"))]
    for path in old:
        if path.exists():
            aside.mkdir(mode=0o700, exist_ok=True)
            shutil.move(path, aside / path.name)
    for path in sorted(source.iterdir()):
        if path.name == MANIFEST:
            continue
        target = places.get(path.name, config.server.data / path.name)
        if path.is_dir():
            shutil.copytree(path, target)
        else:
            shutil.copy2(path, target)
    return aside if aside.exists() else None


def _replace_postgres(config: Config, source: Path) -> None:
    if not shutil.which("pg_restore"):
        fail("pg_restore is missing: install Debian's postgresql-client")
    command = [
        "pg_restore",
        "--clean",
        "--if-exists",
        "--no-owner",
        "--single-transaction",
        "--exit-on-error",
    ]
    command += [f"--dbname={config.database}", str(source / POSTGRES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        fail(f"pg_restore failed, nothing was changed: {done.stderr.strip()}")
    for path in sorted(source.iterdir()):
        if path.is_dir():
            shutil.copytree(path, config.server.data / path.name, dirs_exist_ok=True)
        elif path.name not in (MANIFEST, POSTGRES):
            shutil.copy2(path, config.server.data / path.name)
