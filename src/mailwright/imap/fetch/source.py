"""What a URL names, found in the store: for CATENATE and URLFETCH (RFC 4469, RFC 4467)."""

from __future__ import annotations

from typing import NamedTuple

from mailwright.imap.fetch.sections import MAX_HEADER, choose_fields, cut, locate
from mailwright.imap.syntax.fetch import Section
from mailwright.message.part import Part, find_part
from mailwright.message.structure import from_record
from mailwright.store import acl
from mailwright.store.db.api import Transaction
from mailwright.store.errors import NoSuchMessage
from mailwright.store.reading import read_joined


class Source(NamedTuple):
    """Octets [start, stop) of a blob, or `data`. `part` is the part that they are the body of."""

    blob: int
    start: int
    stop: int
    data: bytes | None = None
    part: Part | None = None

    @property
    def size(self) -> int:
        return self.stop - self.start if self.data is None else len(self.data)


def find_source(
    tx: Transaction, account: int, mailbox: str, uidvalidity: int, uid: int, section: Section
) -> Source:
    """The section of a message in a mailbox that `account` may read; a `uidvalidity` of 0 fits any.

    Raises NoSuchMailbox, NoSuchMessage, NoRight.
    """
    access = acl.resolve(tx, account, mailbox)
    access.need("r")
    if uidvalidity not in (0, access.mailbox.uidvalidity):
        raise NoSuchMessage("the mailbox has another UIDVALIDITY")
    columns = "m.blob, m.size, m.structure"
    rows = list(read_joined(tx, access.account, access.mailbox.id, uid, uid, columns))
    if not rows:
        raise NoSuchMessage("no message has this UID")
    blob, size, record = rows[0]
    root = from_record(record)
    span = locate(root, size, section)
    if span is None:
        raise NoSuchMessage("the message has no such section")
    if section.fields:
        stop = min(span[1], span[0] + MAX_HEADER)
        block = b"".join(tx.blobs.read(tx, blob, span[0], stop))
        chosen = choose_fields(block, section.fields, section.text == "HEADER.FIELDS.NOT")
        start, stop = cut((0, len(chosen)), section.partial)
        return Source(blob, 0, 0, chosen[start:stop])
    part = None if section.text else find_part(root, section.part) if section.part else root
    start, stop = cut(span, section.partial)
    return Source(blob, start, stop, None, part)
