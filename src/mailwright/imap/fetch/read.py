"""The part of FETCH that runs in a reader's thread: rows to octets, a bounded slice at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from mailwright.imap.fetch.plan import Plan
from mailwright.imap.fetch.sections import MAX_HEADER, choose_fields, cut, locate
from mailwright.imap.syntax.fetch import Attribute, Section
from mailwright.imap.view import Key, Run
from mailwright.message.part import Part
from mailwright.message.structure import from_record
from mailwright.store.blobs.api import CHUNK
from mailwright.store.db.api import Row, Transaction
from mailwright.store.messages import read_columns, read_joined

SLICE_ROWS: Final = 1000  # messages in one slice at most
SLICE_OCTETS: Final = 256 * 1024  # a slice ends once it is this large


class Remote(NamedTuple):
    """Octets of a large blob, to be read as the client takes them."""

    blob: int
    start: int
    stop: int


class Slice(NamedTuple):
    """Responses, and how many of the messages they cover; `missing`: some of those are gone."""

    pieces: list[bytes | Remote]
    covered: int
    missing: bool


def read_slice(tx: Transaction, key: Key, runs: Sequence[Run], plan: Plan) -> Slice:
    """Responses for messages of the runs, from the first on."""
    pieces: list[bytes | Remote] = []
    covered = found = octets = 0
    for run in runs:
        rows = _read_rows(tx, key, run, plan)
        found += len(rows)
        covered += len(run.uids)
        data = b"".join(plan.render(*plan.select(run, rows)))
        pieces.append(data)
        octets += len(data)
        if octets >= SLICE_OCTETS:
            break
    return Slice(pieces, covered, found < covered)


def read_contents(tx: Transaction, key: Key, runs: Sequence[Run], plan: Plan) -> Slice:
    """As `read_slice`, for a plan that needs the messages themselves."""
    pieces: list[bytes | Remote] = []
    covered = found = octets = 0
    for run in runs:
        rows = _read_rows(tx, key, run, plan)
        numbers, chosen = plan.select(run, rows)
        for head, row in zip(plan.render(numbers, chosen), chosen, strict=True):
            message = _contents(tx, plan, row)
            pieces.append(head)
            pieces.extend(message)
            octets += sum(len(piece) for piece in message if isinstance(piece, bytes))
            if octets >= SLICE_OCTETS:
                passed = [uid for uid in run.uids if uid <= row[0]]
                here = [other for other in rows if other[0] <= row[0]]
                return Slice(pieces, covered + len(passed), found + len(here) < covered + len(passed))
        covered += len(run.uids)
        found += len(rows)
    return Slice(pieces, covered, found < covered)


def _read_rows(tx: Transaction, key: Key, run: Run, plan: Plan) -> list[Row]:
    columns = ", ".join(plan.columns)
    read = read_joined if plan.joined else read_columns
    return list(read(tx, *key, run.uids[0], run.uids[-1], columns))


class _Content:
    """One message's octets: small ones read once for all sections."""

    __slots__ = ("_blob", "_given", "_tx", "_whole", "size")

    def __init__(self, tx: Transaction, blob: int, size: int) -> None:
        self._tx = tx
        self._blob = blob
        self.size = size
        self._whole: bytes | None = None
        self._given = 0

    def read(self, start: int, stop: int) -> bytes:
        if self.size > CHUNK:
            return b"".join(self._tx.blobs.read(self._tx, self._blob, start, stop))
        if self._whole is None:
            self._whole = self._tx.blobs.read_whole(self._tx, self._blob)
        return self._whole if stop - start == self.size else self._whole[start:stop]

    def piece(self, start: int, stop: int) -> bytes | Remote:
        """Octets now, or a promise of them when this message has had its share of memory."""
        self._given += stop - start
        if self._given > 2 * CHUNK or stop - start > CHUNK:
            return Remote(self._blob, start, stop)
        return self.read(start, stop)


def _contents(tx: Transaction, plan: Plan, row: Row) -> list[bytes | Remote]:
    """The attributes with sections, and the end of the response."""
    blob, size, record = plan.content_columns(row)
    if plan.whole and size <= CHUNK:  # what clients ask for most
        return [plan.whole % size, tx.blobs.read_whole(tx, blob), b")\r\n"]
    content = _Content(tx, blob, size)
    root: Part | None = None
    pieces: list[bytes | Remote] = []
    separator = b" " if plan.has_items else b""
    for attribute in plan.contents:
        section = attribute.section
        assert section is not None
        if root is None and (section.part or section.text):
            root = from_record(record)
        pieces.extend(_content(content, root, attribute, section, separator))
        separator = b" "
    pieces.append(b")\r\n")
    return pieces


def _content(
    content: _Content, root: Part | None, attribute: Attribute, section: Section, separator: bytes
) -> list[bytes | Remote]:
    span = (0, content.size) if root is None else locate(root, content.size, section)
    if span is None:
        return [b"%b%b NIL" % (separator, attribute.label)]
    if section.fields:
        block = content.read(span[0], min(span[1], span[0] + MAX_HEADER))
        chosen = choose_fields(block, section.fields, section.text == "HEADER.FIELDS.NOT")
        start, stop = cut((0, len(chosen)), section.partial)
        return [b"%b%b {%d}\r\n%b" % (separator, attribute.label, stop - start, chosen[start:stop])]
    start, stop = cut(span, section.partial)
    return [b"%b%b {%d}\r\n" % (separator, attribute.label, stop - start), content.piece(start, stop)]


def read_blob(tx: Transaction, blob: int, start: int, stop: int) -> bytes:
    """Octets of a blob, at most about CHUNK of them."""
    return b"".join(tx.blobs.read(tx, blob, start, stop))


def read_unseen(tx: Transaction, key: Key, runs: Sequence[Run]) -> list[int]:
    """The UIDs of those messages that are not \\Seen."""
    found: list[int] = []
    for run in runs:
        for uid, flags in read_columns(tx, *key, run.uids[0], run.uids[-1], "p.uid, p.flags"):
            if not flags & 1:
                found.append(uid)
    return found
