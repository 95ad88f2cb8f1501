"""`mailwright restore`."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from mailwright.app.storage import UNFINISHED
from mailwright.cli.backup import MANIFEST, POSTGRES, SQLITE, copy_folder, digest, sync, verify_sqlite
from mailwright.cli.options import with_config
from mailwright.cli.output import confirm, fail
from mailwright.cli.owner import give_to_owner_of

if TYPE_CHECKING:
    from mailwright.config import Config

# A database and what lies beside it while it is in use.
_SQLITE_FILES: Final = {SQLITE: "", f"{SQLITE}-wal": "-wal", f"{SQLITE}-shm": "-shm"}


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
        if (source / "blobs").is_dir() == (config.store.blobs == "database"):
            fail(
                "the backup and the configuration do not keep message bodies the same way; see [store] blobs"
            )
        if config.is_postgres:
            _refuse_if_served(config.database)
        else:
            verify_sqlite(source / SQLITE, source / "blobs", content=False)
            _check_version(source / SQLITE)
        if not yes:
            confirm(f"Replace the store by the backup of {manifest['made_at']}?")
        aside = _replace(config, source)
    click.echo(f"Restored {source}." + (f" What was there is in {aside}." if aside else ""))


def _manifest(source: Path) -> dict[str, Any]:
    why = "it is not as `mailwright backup` writes it"
    manifest: object = None
    try:
        manifest = json.loads((source / MANIFEST).read_text("utf-8"))
    except FileNotFoundError:
        why = "it is not there"
    except (OSError, ValueError) as error:
        why = f"it cannot be read ({error})"
    if (
        not isinstance(manifest, dict)
        or not isinstance(manifest.get("files"), dict)
        or "made_at" not in manifest
    ):
        fail(f"{source} is no backup, to judge by its {MANIFEST}: {why}")
    return manifest


def _check_version(path: Path) -> None:
    """Refuse the store of a newer version before it takes the place of one that can be served."""
    import apsw

    from mailwright.store import schema

    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    version = connection.execute("SELECT max(version) FROM schema_versions").get
    connection.close()
    if version > schema.newest():
        fail(
            f"the backup has schema version {version}, which this version of Mailwright does not know;"
            " restore it with the newer version that wrote it"
        )


def _replace(config: Config, source: Path) -> Path | None:
    """Copy the backup beside what is there, then let both change places; where the old files went.

    Who opens the store while they change places, or when that came to no end, is refused (`storage.check_whole`).
    """
    came = _bring(config, source)
    mark = config.server.data / UNFINISHED
    mark.write_text(str(source.absolute()), "utf-8", errors="surrogateescape")
    give_to_owner_of(config.server.data, mark)
    sync(mark, mark.parent)
    if config.is_postgres:
        try:
            _replace_postgres(config, source)
        except SystemExit:
            for unused in (*came.values(), mark):
                _remove(unused)
            raise
    aside = _change_places(config, came)
    mark.unlink()
    sync(mark.parent)
    return aside


def _places(config: Config) -> dict[str, Path]:
    """Where what has these names in a backup lives; what is not named is in the data folder."""
    places = {"dkim": config.dkim_directory}
    if not config.is_postgres:
        database = Path(config.database)
        places |= {name: database.with_name(database.name + end) for name, end in _SQLITE_FILES.items()}
    if config.store.blobs != "database":
        places["blobs"] = Path(config.store.blobs)
    return places


def _bring(config: Config, source: Path) -> dict[Path, Path]:
    """Copy the backup; the copies, by what they shall replace."""
    places = _places(config)
    came: dict[Path, Path] = {}
    try:
        for path in sorted(source.iterdir()):
            if path.name not in (MANIFEST, POSTGRES):
                target = places.get(path.name, config.server.data / path.name)
                came[target] = target.with_name(f"{target.name}.restoring")
                _copy(path, came[target], config.server.data)
    except BaseException:
        for new in came.values():
            _remove(new)
        raise
    return came


def _change_places(config: Config, came: dict[Path, Path]) -> Path | None:
    aside = _new_folder(config.server.data / f"before-restore-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    for old in {*_places(config).values(), *came}:
        if old.exists():
            aside.mkdir(mode=0o700, exist_ok=True)
            shutil.move(old, aside / old.name)
    for target, new in came.items():
        new.rename(target)
        sync(target.parent)
    if not aside.exists():
        return None
    give_to_owner_of(config.server.data, aside)
    return aside


def _new_folder(path: Path) -> Path:
    """The path, with a number if there is such a folder: what two restores replace is kept apart."""
    numbered, number = path, 1
    while numbered.exists():
        number += 1
        numbered = path.with_name(f"{path.name}-{number}")
    return numbered


def _copy(path: Path, target: Path, data: Path) -> None:
    """A file or folder of the backup, durable and owned as the data folder is."""
    _remove(target)
    if path.is_dir():
        copy_folder(path, target)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    give_to_owner_of(data, target)
    sync(*target.rglob("*"), target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _refuse_if_served(dsn: str) -> None:
    """Servers elsewhere, on other data folders, would go on with what they remember of the mail that was there."""
    import psycopg

    from mailwright.store.db.postgres import SERVED

    try:
        with psycopg.connect(dsn) as connection:
            served = connection.execute(SERVED.encode()).fetchone()
    except psycopg.Error as error:
        fail(f"the database server does not answer ({error}); check that it runs and its DSN")
    if served:
        fail("a server runs on this database, perhaps on another machine; stop all of them first")


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
