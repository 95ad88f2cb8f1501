"""FETCH responses that another process reads are those that the server reads itself."""

from __future__ import annotations

import os
from array import array
from pathlib import Path

import pytest
from support.accounts import new_account
from support.apart import started
from support.stores import with_tables

from mailwright.imap.fetch.plan import Plan
from mailwright.imap.fetch.read import read_contents, read_slice
from mailwright.imap.syntax.fetch import parse_fetch
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.syntax.sequence import Range
from mailwright.imap.view import Run
from mailwright.store import arrivals
from mailwright.store.blobs.database import DatabaseBlobs
from mailwright.store.db.api import Transaction
from mailwright.store.db.sqlite import SQLiteDatabase
from mailwright.store.incoming import prepare_small
from mailwright.store.mailboxes import find_mailbox

COUNT = 60
NOW = 1_700_000_000
KINDS = (
    b"Subject: %d\r\n\r\nplain\r\n",
    b"Subject: %d\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=\r\n" * 3,
    b"Subject: %d\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n",
    b"Subject: %d\r\nContent-Transfer-Encoding: x-own\r\n\r\nwho knows\r\n",
)


def fill(tx: Transaction, account: int, inbox: int) -> None:
    for n in range(COUNT):
        message = prepare_small(tx.blobs, KINDS[n % len(KINDS)] % n + b"x" * (n // 50 * 100_000))
        arrivals.add_all(
            tx, account, inbox, [arrivals.Arrival(message, n % 4, "$Work" if n % 3 else "", NOW + n)], now=NOW
        )


@pytest.mark.parametrize(
    "asked",
    [
        b"BODY.PEEK[]",
        b"(UID FLAGS BODY.PEEK[])",
        b"(RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT)] BODY.PEEK[1]<0.2>)",
        b"(FLAGS BINARY.PEEK[1])",
        b"(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)",
        b"(BODYSTRUCTURE PREVIEW)",
    ],
    ids=bytes.decode,
)
@pytest.mark.parametrize("recents", [(), ((10, 30),)], ids=["old", "recent"])
@pytest.mark.parametrize("since", [None, 20], ids=["all", "changed"])
async def test_another_process_reads_the_same(
    asked: bytes,
    recents: tuple[Range, ...],
    since: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    db = SQLiteDatabase(with_tables(tmp_path / "mail.sqlite"), DatabaseBlobs())
    await db.start()
    try:
        account = await db.write(new_account, "ann@example.org")
        inbox = (await db.read(find_mailbox, account, "INBOX")).id
        await db.write(fill, account, inbox)
        plan = Plan(list(parse_fetch(Lexer(b"1:* " + asked)).attributes), recents, since)
        runs, slices = [Run(1, array("I", range(1, COUNT + 1)))], []
        await started(db)
        for read in (db.read, db.read_apart):
            operation = read_contents if plan.contents else read_slice
            slices.append(await read(operation, (account, inbox), runs, plan))
        here, there = slices
        assert there == here
        assert here.keywords == ({"$Work"} if b"FLAGS" in asked else set())
        assert here.undecodable == (b"BINARY" in asked)
        assert here.covered > COUNT // 2
    finally:
        await db.close()
