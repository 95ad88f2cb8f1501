"""`mailwright backup`."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from mailwright import __version__
from mailwright.cli.options import json_option, with_config
from mailwright.cli.output import counted, echo_json, fail, progress, size

if TYPE_CHECKING:
    from mailwright.config import Config

MANIFEST: Final = "manifest.json"
SQLITE: Final = "mail.sqlite"
POSTGRES: Final = "mail.pgdump"
_PAGES: Final = 2000  # copied in one step
# What else lives in the data folder and cannot be made again.
_KEPT: Final = ("dkim", "certificate.pem", "key.pem", "demo.json")


@click.command()
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
@click.option("--quick", is_flag=True, help="Check the copy's structure only, not each message's content.")
@json_option
@with_config
def backup(config: Config, target: Path, quick: bool, as_json: bool) -> None:
    """Copy the store, DKIM keys and certificate into a new folder, and verify the copy.

    The server may be running: the copy is the store as it was at one moment. A PostgreSQL store is copied by
    pg_dump, which must be installed. The configuration file is not copied.

    Example: mailwright backup /backup/mail-$(date -I)
    """
    from mailwright.app.storage import check_whole

    check_whole(config)
    if config.store.blobs != "database" and target.resolve().is_relative_to(
        Path(config.store.blobs).resolve()
    ):
        fail(f"{target} is in the folder of the messages, which it would copy into itself; name another")
    if target.exists() and any(target.iterdir()):
        fail(f"{target} is not empty; name a new folder")
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        checked = _fill(config, target, content=not quick)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    octets = sum(path.stat().st_size for path in files_in(target))
    if as_json:
        echo_json({"target": str(target), "bytes": octets, **checked})
    else:
        messages = "" if checked["messages"] is None else f"{counted(checked['messages'], 'message')}, "
        click.echo(f"Backup in {target}: {messages}{size(octets)}, verified.")


def _fill(config: Config, target: Path, *, content: bool) -> dict[str, Any]:
    """Make the backup in an empty folder, durably; what was verified."""
    _copy_blobs(config, target)
    if config.is_postgres:
        dump_postgres(config.database, target / POSTGRES)
    else:
        copy_sqlite(Path(config.database), target / SQLITE)
    _copy_blobs(config, target)
    _copy_files(config, target)
    checked: dict[str, Any] = {"messages": None}
    if not config.is_postgres:
        checked = verify_sqlite(target / SQLITE, target / "blobs", content=content)
    files = {str(path.relative_to(target)): digest(path) for path in files_in(target)}
    manifest = {"version": __version__, "made_at": datetime.now(UTC).isoformat(), **checked, "files": files}
    (target / MANIFEST).write_text(json.dumps(manifest, indent=1), "utf-8")
    sync(*target.rglob("*"), target)
    return checked


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database that may be in use; the copy is one snapshot, in one file."""
    if not source.exists():
        fail(f"there is no store at {source}; check [server] data in the configuration")
    import apsw

    with told(source):
        try:
            _copy(source, target)
        except apsw.FullError as error:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from error
    target.chmod(0o600)


def _copy(source: Path, target: Path) -> None:
    import apsw

    origin = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READWRITE)
    origin.set_busy_timeout(5000)  # who opens or closes it holds it alone for a moment
    copy = apsw.Connection(str(target))
    # An open read transaction pins the snapshot: otherwise each commit of the server would start the copy again.
    origin.execute("BEGIN").execute("SELECT count(*) FROM sqlite_schema").fetchall()
    with progress() as bars, copy.backup("main", origin, "main") as job:
        task = bars.add_task("Copy", total=None)
        while not job.done:
            job.step(_PAGES)
            bars.update(task, total=job.page_count, completed=job.page_count - job.remaining)
    origin.execute("ROLLBACK")
    origin.close()
    copy.execute("PRAGMA journal_mode = DELETE")  # one file, no log beside it
    copy.close()


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """End the command with what is wrong with a database file. Raises TemporaryFailure when it is out of reach."""
    import apsw

    from mailwright.store.db.file import as_store_error

    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError) as error:
        fail(f"{path} is damaged, or no store of ours: {error}")
    except apsw.Error as error:
        raise as_store_error(error) from error


def verify_sqlite(path: Path, blobs: Path, *, content: bool) -> dict[str, Any]:
    """Check a copy: its structure, and with `content` the hash of each message. Ends the command when it is wrong."""
    with told(path):
        return _verify(path, blobs, content)


def _verify(path: Path, blobs: Path, content: bool) -> dict[str, Any]:
    import apsw

    from mailwright.store.blobs.api import is_hash_of
    from mailwright.store.blobs.database import DatabaseBlobs
    from mailwright.store.blobs.disk import DiskBlobs
    from mailwright.store.db.file import SQLiteTransaction

    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    wrong = [str(text) for (text,) in connection.execute("PRAGMA integrity_check(10)") if text != "ok"]
    if wrong:
        fail(f"{path} is damaged: {'; '.join(wrong)}")
    tx = SQLiteTransaction(connection, DiskBlobs(blobs) if blobs.exists() else DatabaseBlobs())
    row = tx.one("SELECT count(*) FROM messages")
    messages = int(row[0]) if row else 0
    checked = 0
    if content:
        (total,) = tx.one("SELECT count(*) FROM blobs WHERE refs > 0") or (0,)
        with progress() as bars:
            task = bars.add_task("Verify", total=total)
            for number, kept in tx.all("SELECT id, hash FROM blobs WHERE refs > 0"):
                found = hashlib.sha256()
                for piece in tx.blobs.read(tx, number):
                    found.update(piece)
                if not is_hash_of(bytes(kept), found.digest()):
                    fail(f"a message's content in {path} is damaged (blob {number}). Run `mailwright doctor`")
                checked += 1
                bars.advance(task)
    connection.close()
    return {"messages": messages, "contents_verified": checked}


def dump_postgres(url: str, target: Path) -> None:
    """Run pg_dump and let pg_restore read the result back."""
    if not shutil.which("pg_dump"):
        fail("the store is in PostgreSQL and pg_dump is missing: install Debian's postgresql-client")
    for command in (
        ["pg_dump", "--format=custom", "--no-owner", f"--file={target}", url],
        ["pg_restore", "--list", str(target)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            fail(f"{command[0]} failed: {done.stderr.strip()}")


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_in(folder: Path) -> Iterator[Path]:
    """All files below a folder, but for the manifest."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MANIFEST)


def _copy_files(config: Config, target: Path) -> None:
    for name in _KEPT:
        path = config.server.data / name
        if path.is_dir():
            copy_folder(path, target / name)
        elif path.exists():
            shutil.copy2(path, target / name)
    if config.dkim.directory is not None and config.dkim_directory.is_dir():
        copy_folder(config.dkim_directory, target / "dkim")


def _copy_blobs(config: Config, target: Path) -> None:
    """Copy the files of messages that are not there yet; to be called before and after the database is copied.

    A message's file is written before the row that names it, so the second call finds those that came since the
    first; a running server unlinks it soon after the row is gone, so those that go meanwhile are there by the first.
    """
    if config.store.blobs != "database":
        (target / "blobs").mkdir(exist_ok=True)
        if Path(config.store.blobs).exists():
            copy_folder(Path(config.store.blobs), target / "blobs")


def copy_folder(source: Path, target: Path) -> None:
    """Copy what is in a folder, but for files that are there already; one that goes meanwhile is left out.

    Raises OSError at the first file that cannot be copied.
    """
    target.mkdir(parents=True, exist_ok=True)
    shutil.copymode(source, target)
    for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
        copy = target / entry.name
        if entry.is_dir():
            copy_folder(Path(entry.path), copy)
        elif not copy.exists() or not _looks_like(entry, copy):
            try:
                shutil.copy2(entry.path, copy)
            except FileNotFoundError:
                copy.unlink(missing_ok=True)


def _looks_like(entry: os.DirEntry[str], copy: Path) -> bool:
    """Whether a file did not change since it was copied: it may have been half written then."""
    try:
        now = entry.stat()
    except FileNotFoundError:
        return True
    then = copy.stat()
    return (now.st_size, now.st_mtime_ns) == (then.st_size, then.st_mtime_ns)


def sync(*paths: Path) -> None:
    """Nothing is told as done that a power cut could take back."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
