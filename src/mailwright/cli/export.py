"""`mailwright export`."""

from __future__ import annotations

import asyncio
import errno
import os
from collections import Counter
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import click

from mailwright.cli.options import json_option, with_config
from mailwright.cli.output import counted, echo_json, fail, progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from mailwright.config import Config
    from mailwright.store.db.api import Transaction
    from mailwright.store.model import Mailbox, Place
    from mailwright.store.store import Store

_BATCH: Final = 200
# Why a file cannot have the name of a mailbox: too long, or it is that of another's folder.
_NO_NAME: Final = (errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)


@click.command()
@click.argument("address")
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--format", "kind", type=click.Choice(["maildir", "mbox"]), default="maildir", show_default=True
)
@click.option("--mailbox", multiple=True, help="Only this one; may be given several times.")
@json_option
@with_config
def export(
    config: Config, address: str, target: Path, kind: str, mailbox: tuple[str, ...], as_json: bool
) -> None:
    """Write an account's mail into a folder, as Maildir++ or as one mbox file for each mailbox.

    The server may be running. Maildir: what was written before is passed over, so that an export can be run again.
    mbox: each file is written anew, and a message whose last line does not end is given its end.

    Example: mailwright export alice@example.org backup/alice
    """
    from mailwright.cli.opening import with_store

    counts = Counter({"written": 0, "known": 0, "failed": 0})
    with_store(config, lambda store: _export_all(store, address, target, kind, mailbox, counts))
    if as_json:
        echo_json(dict(counts))
    else:
        text = f"Wrote {counted(counts['written'], 'message')} to {target}"
        text += f"; there already: {counts['known']}" if counts["known"] else ""
        text += f"; not written, for the reasons above: {counts['failed']}" if counts["failed"] else ""
        click.echo(text + ".")
    if counts["failed"]:
        raise SystemExit(1)


async def _export_all(
    store: Store, address: str, target: Path, kind: str, names: tuple[str, ...], counts: Counter[str]
) -> None:
    from mailwright.directory.accounts import find_account
    from mailwright.store.mailboxes import list_mailboxes, normal_name

    wanted = set(map(normal_name, names))
    account = await store.read(find_account, address)
    boxes = await store.read(list_mailboxes, account.id)
    if unknown := wanted - {box.name for box in boxes}:
        fail(f"{address} has no mailbox {', '.join(sorted(unknown))}")
    boxes = [box for box in boxes if not wanted or box.name in wanted]
    await asyncio.to_thread(target.mkdir, mode=0o700, parents=True, exist_ok=True)
    with progress() as bars:
        for box in boxes:
            task = bars.add_task(box.name, total=box.messages)
            try:
                put = _maildir(target, box) if kind == "maildir" else _mbox(target, box)
            except OSError as error:
                if error.errno not in _NO_NAME:
                    raise
                counts["failed"] += box.messages
                click.echo(
                    f"{box.name}: no file can have its name here: {error.strerror}; rename it", err=True
                )
                continue
            after = 0
            while batch := await store.read(_batch, account.id, box.id, after):
                after = batch[-1][0].uid
                for place, content in batch:
                    new = await asyncio.to_thread(put, place, content)
                    counts["written" if new else "known"] += 1
                    bars.advance(task)
            await asyncio.to_thread(put, None, b"")


def _batch(tx: Transaction, account: int, mailbox: int, after: int) -> list[tuple[Place, bytes]]:
    """The next messages of a mailbox, with their content; one alone when it is large."""
    from mailwright.store.reading import read_range

    found: list[tuple[Place, bytes]] = []
    octets = 0
    for place in read_range(tx, account, mailbox, after + 1, after + 10 * _BATCH) or _next(
        tx, account, mailbox, after
    ):
        row = tx.one("SELECT blob FROM messages WHERE id = ?", place.message)
        if row is None:
            continue
        content = b"".join(tx.blobs.read(tx, row[0]))
        found.append((place, content))
        octets += len(content)
        if len(found) >= _BATCH or octets > 32 * 2**20:
            break
    return found


def _next(tx: Transaction, account: int, mailbox: int, after: int) -> list[Place]:
    """The first place after a wide gap of UIDs."""
    from mailwright.store.reading import read_range

    row = tx.one(
        "SELECT min(uid) FROM places WHERE account = ? AND mailbox = ? AND uid > ?", account, mailbox, after
    )
    return [] if row is None or row[0] is None else read_range(tx, account, mailbox, row[0], row[0])


def _maildir(target: Path, box: Mailbox) -> Callable[[Place | None, bytes], bool]:
    """Writes messages into a Maildir++ folder; False for one that is there already."""
    from mailwright.cli import mailfiles

    folder = target if box.name == "INBOX" else target / mailfiles.maildir_folder(box.name)
    for part in ("cur", "new", "tmp"):
        (folder / part).mkdir(parents=True, exist_ok=True, mode=0o700)
    letters = mailfiles.maildir_keywords(folder)
    known = {path.name.partition(":2,")[0]: path for path in (folder / "cur").iterdir()}

    def put(place: Place | None, content: bytes) -> bool:
        if place is None:
            lines = [f"{ord(letter) - ord('a')} {word}\n" for letter, word in sorted(letters.items())]
            if lines:
                (folder / mailfiles.MAILDIR_KEYWORDS).write_text("".join(lines), "utf-8")
            return True
        text = content.replace(b"\r\n", b"\n")
        name = mailfiles.maildir_name(place.internal_date, box.uidvalidity, place.uid, text)
        marks = mailfiles.maildir_suffix(place.flags) + mailfiles.maildir_letters(place.keywords, letters)
        final = folder / "cur" / (name + marks)
        if (old := known.get(name)) is not None:
            if old != final:
                old.rename(final)  # its flags changed
            return False
        temporary = folder / "tmp" / name
        temporary.write_bytes(text)
        os.utime(temporary, (place.internal_date, place.internal_date))
        temporary.rename(final)
        return True

    return put


def _mbox(target: Path, box: Mailbox) -> Callable[[Place | None, bytes], bool]:
    """Writes messages into an mbox file, which takes the place of an older one when all are written."""
    from mailwright.cli.mailfiles import write_mbox

    if {".", ".."} & set(box.name.split("/")[:-1]):
        raise OSError(errno.EEXIST, "it would be in the folder of another")
    final = target / f"{box.name}.mbox"
    final.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = final.with_suffix(".new")
    file: IO[bytes] = temporary.open("wb")

    def put(place: Place | None, content: bytes) -> bool:
        if place is None:
            file.close()
            temporary.replace(final)
        else:
            write_mbox(file, content, place.internal_date, place.flags, place.keywords)
        return True

    return put
