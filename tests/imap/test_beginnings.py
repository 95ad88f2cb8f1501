"""A FETCH that asks for a part of each message is answered with the octets that the whole message has there."""

from __future__ import annotations

import base64
from array import array
from pathlib import Path

import pytest
from support.accounts import new_account, prepared
from support.stores import with_tables

from mailwright.imap.fetch.plan import Plan
from mailwright.imap.fetch.read import read_contents
from mailwright.imap.syntax.fetch import FetchArgs, parse_fetch
from mailwright.imap.syntax.lexer import Lexer
from mailwright.imap.view import Pool, Run, View
from mailwright.message.parser import parse_message
from mailwright.message.structure import to_record
from mailwright.store import arrivals
from mailwright.store.blobs.database import DatabaseBlobs
from mailwright.store.db.sqlite import SQLiteDatabase
from mailwright.store.mailboxes import find_mailbox

HEADER = b"Subject: Hello\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
MIME = b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n"
PICTURE = base64.encodebytes(b"\x89PNG, not really. " * 80).replace(b"\n", b"\r\n")
MESSAGE = HEADER + b"--x\r\n" + MIME + PICTURE + b"\r\n--x\r\n\r\nA text.\r\n--x--\r\n"
COUNT = 5


@pytest.mark.parametrize(
    ("section", "wanted"),
    [
        (b"BODY.PEEK[]", MESSAGE),
        (b"BODY.PEEK[]<0.10>", MESSAGE[:10]),
        (b"BODY.PEEK[]<200.50>", MESSAGE[200:250]),
        (b"BODY.PEEK[]<100000.50>", b""),
        (b"BODY.PEEK[HEADER]", HEADER),
        (b"BODY.PEEK[HEADER]<9.5>", HEADER[9:14]),
        (b"BODY.PEEK[HEADER.FIELDS (SUBJECT)]", b"Subject: Hello\r\n\r\n"),
        (b"BODY.PEEK[TEXT]<0.5>", b"--x\r\n"),
        (b"BODY.PEEK[TEXT]", MESSAGE[len(HEADER) :]),
        (b"BODY.PEEK[1.MIME]", MIME),
        (b"BODY.PEEK[1]", PICTURE),
        (b"BODY.PEEK[2]", b"A text."),
        (b"BINARY.PEEK[1]", b"\x89PNG, not really. " * 80),
    ],
)
async def test_a_part_of_many_messages(section: bytes, wanted: bytes, tmp_path: Path) -> None:
    db = SQLiteDatabase(with_tables(tmp_path / "mail.db"), DatabaseBlobs())
    await db.start()
    key = await fill(db)
    view = View(key, Pool(), COUNT, COUNT + 1, 1)
    # The header besides, so that more than one content is cut out of what was read.
    for others, shown in ((b"", b""), (b" BODY.PEEK[HEADER]", HEADER)):
        args = parse_fetch(Lexer(b"1:* (" + section + others + b")", 0, False))
        found = await db.read(
            read_contents, key, [Run(1, array("I", range(1, COUNT + 1)))], _plan(args, view)
        )
        octets = b"".join([piece for piece in found.pieces if isinstance(piece, bytes)])
        assert (found.covered, found.missing) == (COUNT, False)
        assert octets.count(b"{%d}\r\n%b" % (len(wanted), wanted)) >= COUNT
        assert octets.count(b"BODY[HEADER] {%d}\r\n%b)" % (len(shown), shown)) == (COUNT if shown else 0)
    await db.close()


def _plan(args: FetchArgs, view: View) -> Plan:
    return Plan(list(args.attributes), view.recents)


async def fill(db: SQLiteDatabase) -> tuple[int, int]:
    account = await db.write(new_account, "ann@example.org")
    inbox = (await db.read(find_mailbox, account, "INBOX")).id
    message = prepared(db, MESSAGE)
    structure = to_record(parse_message(MESSAGE))
    message = message._replace(summary=message.summary._replace(structure=structure))
    made = [arrivals.Arrival(message, 0, "", 1_700_000_000) for _ in range(COUNT)]
    await db.write(lambda tx: arrivals.add_all(tx, account, inbox, made, now=1_700_000_000))
    return account, inbox
