"""`mailwright import`."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from mailwright.cli.options import json_option, with_config
from mailwright.cli.output import counted, echo_json, fail, progress
from mailwright.store.blobs.api import ALONE

if TYPE_CHECKING:
    from rich.progress import Progress

    from mailwright.cli.mailfiles import Folder, Found
    from mailwright.config import Config
    from mailwright.store.db.api import Transaction
    from mailwright.store.store import Store

_AT_ONCE: Final = 32  # messages on their way into the store, so that they share an fsync


@click.command(name="import")
@click.argument("address")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--mailbox", default="INBOX", show_default=True, help="The mailbox for what is at the top.")
@json_option
@with_config
def imports(config: Config, address: str, source: Path, mailbox: str, as_json: bool) -> None:
    """Bring mail in from a Maildir (with its subfolders), an mbox file, or a folder of them.

    Flags, keywords and dates are kept, as Dovecot, mutt and Thunderbird write them. A message that its mailbox has
    already, octet for octet, is passed over, so that an import can be run again. The server may be running; mail
    clients see what came within a second.

    \b
    Examples:
      mailwright import alice@example.org ~/Maildir
      mailwright import alice@example.org old.mbox --mailbox Archive/2019
    """
    from mailwright.cli.mailfiles import folders
    from mailwright.cli.opening import with_store

    counts: Counter[str] = Counter({"imported": 0, "known": 0, "failed": 0})
    try:
        found = folders(source, mailbox, lambda why: _fail(counts, why))
    except ValueError as error:
        fail(str(error))
    with_store(config, lambda store: _import_all(store, address, found, counts))
    if as_json:
        echo_json(dict(counts))
    else:
        text = f"Imported {counted(counts['imported'], 'message')} into {counted(len(found), 'mailbox', 'mailboxes')}"
        text += f"; there already: {counts['known']}" if counts["known"] else ""
        click.echo(
            text
            + (f"; not imported, for the reasons above: {counts['failed']}." if counts["failed"] else ".")
        )
    if counts["failed"]:
        raise SystemExit(1)


async def _import_all(store: Store, address: str, found: list[Folder], counts: Counter[str]) -> None:
    from mailwright.cli.mailfiles import count
    from mailwright.directory.accounts import find_account

    account = await store.read(find_account, address)
    with progress() as bars:
        for folder in found:
            task = bars.add_task(folder.mailbox, total=await asyncio.to_thread(count, folder))
            await _import_folder(store, account.id, folder, counts, bars, task)


async def _import_folder(
    store: Store, account: int, folder: Folder, counts: Counter[str], bars: Progress, task: object
) -> None:
    from mailwright.cli.mailfiles import count, read
    from mailwright.store.errors import NotAllowed
    from mailwright.store.mailboxes import InvalidName

    try:
        mailbox = await store.write(_ensure_mailbox, account, folder.mailbox)
    except (NotAllowed, InvalidName) as error:
        why = f"{folder.path}: {error}; rename it, or name another with --mailbox"
        _fail(counts, why, await asyncio.to_thread(count, folder))
        return
    known = await store.read(_hashes, account, mailbox)
    running: set[asyncio.Task[None]] = set()
    order = asyncio.Lock()
    failures: list[Exception] = []
    messages = read(folder, lambda why: _fail(counts, why))
    while not failures and (found := await asyncio.to_thread(next, messages, None)) is not None:
        digest = hashlib.sha256(found.content).digest()[:ALONE]
        bars.advance(task)  # type: ignore[arg-type]
        if digest in known:
            counts["known"] += 1
            continue
        known.add(digest)
        running.add(asyncio.create_task(_import_one(store, account, mailbox, found, order, counts, failures)))
        if len(running) >= _AT_ONCE:
            _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    if running:
        await asyncio.wait(running)
    if failures:
        raise failures[0]


async def _import_one(
    store: Store,
    account: int,
    mailbox: int,
    found: Found,
    order: asyncio.Lock,
    counts: Counter[str],
    failures: list[Exception],
) -> None:
    """Bring one message in; `failures` hears why none can be kept now, or of a defect: either ends the import."""
    from mailwright.store.arrivals import add
    from mailwright.store.errors import StoreError, TemporaryFailure

    incoming = store.incoming()
    now = int(time.time())
    try:
        async with order:  # so that UIDs follow the dates; the store's writer keeps the order of its queue
            await incoming.write(found.content)
            message = await incoming.finish()
        await store.write(
            add,
            account,
            mailbox,
            message,
            now=now,
            flags=found.flags,
            keywords=found.keywords,
            internal_date=found.date or now,
        )
        counts["imported"] += 1
    except Exception as error:
        if isinstance(error, StoreError) and not isinstance(error, TemporaryFailure):
            _fail(counts, f"{found.where}: {error}")
        else:
            failures.append(error)
    finally:
        incoming.close()


def _fail(counts: Counter[str], why: str, messages: int = 1) -> None:
    counts["failed"] += messages
    click.echo(why, err=True)


def _ensure_mailbox(tx: Transaction, account: int, name: str) -> int:
    from mailwright.store.acl import is_reserved
    from mailwright.store.errors import NoSuchMailbox, NotAllowed
    from mailwright.store.mailboxes import create_mailbox, find_mailbox

    if is_reserved(name):
        raise NotAllowed(f"{name} is a name of shared mailboxes")
    try:
        return find_mailbox(tx, account, name).id
    except NoSuchMailbox:
        return create_mailbox(tx, account, name, subscribe=True).id


def _hashes(tx: Transaction, account: int, mailbox: int) -> set[bytes]:
    rows = tx.rows(
        "SELECT b.hash FROM places p JOIN messages m ON m.id = p.message JOIN blobs b ON b.id = m.blob"
        " WHERE p.account = ? AND p.mailbox = ?",
        account,
        mailbox,
    )
    return {bytes(digest)[:ALONE] for (digest,) in rows}
