"""The part of FETCH that runs in a reader's thread: rows to octets, a bounded slice at a time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import itemgetter
from typing import Final

from mailwright.imap.fetch.binary import decode_now, find_encoded, measure
from mailwright.imap.fetch.lines import write_lines
from mailwright.imap.fetch.pieces import SLICE_OCTETS, Piece, Remote, Slice, Unjoined, joined
from mailwright.imap.fetch.plan import Plan
from mailwright.imap.fetch.sections import MAX_HEADER, Span, choose_fields, cut, locate
from mailwright.imap.syntax.fetch import Attribute, Section
from mailwright.imap.view import Key, Run
from mailwright.message.content import UnknownEncoding
from mailwright.message.part import Part
from mailwright.message.structure import from_record, root_of_record
from mailwright.store.blobs.api import CHUNK, Pieces
from mailwright.store.db.api import Row, Transaction
from mailwright.store.reading import (
    NUMBERS,
    read_columns,
    read_joined,
    read_numbers,
    read_some_columns,
    read_some_joined,
)

SLICE_ROWS: Final = 1000  # messages in one slice at most
# Where the messages themselves are sent. A slice is larger only with one message's share of memory alone.
CONTENT_OCTETS: Final = 480 * 1024
CONTENT_ROWS: Final = 100
_SHORT: Final = 4  # messages; of shorter runs many are read
_TOGETHER: Final = 50  # at a time
_SHARE: Final = 2 * CHUNK  # octets that may be held for one message


def read_slice(tx: Transaction, key: Key, runs: Sequence[Run], plan: Plan) -> Slice:
    """Responses for messages of the runs, from the first on."""
    pieces: list[Piece] = []
    keywords: set[str] = set()
    covered = found = octets = 0
    for portion in _portions(runs):
        rows = _read_rows(tx, key, portion, plan)
        found += len(rows)
        covered += sum([len(run.uids) for run in portion])
        numbers, chosen = plan.select(portion, rows)
        keywords |= plan.keywords(chosen)
        data = plan.render(numbers, chosen)
        pieces.append(data)
        octets += len(data)
        if octets >= SLICE_OCTETS:
            break
    return Slice(joined(pieces), covered, found < covered, keywords)


def read_lines(tx: Transaction, key: Key, runs: Sequence[Run], plan: Plan) -> Slice:
    """As `read_slice`, for a plan with a line."""
    return write_lines(tx, key, runs, plan) or read_slice(tx, key, _first(runs, SLICE_ROWS), plan)


def _first(runs: Sequence[Run], count: int) -> list[Run]:
    """The first messages of runs."""
    found: list[Run] = []
    for run in runs:
        if count > 0:
            found.append(run._replace(uids=run.uids[:count]))
            count -= len(run.uids)
    return found


def _portions(runs: Sequence[Run]) -> Iterator[list[Run]]:
    """Runs to be read in one go: a long one alone, many short ones together."""
    short: list[Run] = []
    for run in runs:
        if len(run.uids) <= _SHORT:
            short.append(run)
        if short and (len(run.uids) > _SHORT or len(short) == _TOGETHER):
            yield short
            short = []
        if len(run.uids) > _SHORT:
            yield [run]
    if short:
        yield short


def read_contents(tx: Transaction, key: Key, runs: Sequence[Run], plan: Plan) -> Slice:
    """As `read_slice`, for a plan that needs the messages themselves."""
    pieces: list[Unjoined] = []
    keywords: set[str] = set()
    covered = found = octets = 0
    undecodable = False
    for run in runs:
        rows = _read_rows(tx, key, [run], plan)
        numbers, chosen = plan.select([run], rows)
        contents, octets = _that_fit(tx, plan, chosen, octets)
        passed, here = len(run.uids), len(rows)
        if len(contents) < len(chosen):
            stop = chosen[len(contents)][0]
            passed = bisect_left(run.uids, stop)
            here = bisect_left(rows, stop, key=itemgetter(0))
            numbers, chosen = islice(numbers, len(contents)), chosen[: len(contents)]
        _read_together(tx, plan, contents)
        keywords |= plan.keywords(chosen)
        for head, content in zip(plan.render_each(numbers, chosen), contents, strict=True):
            pieces.append(head)
            pieces.extend(_contents(tx, plan, content))
            undecodable |= content.undecodable
        covered += passed
        found += here
        if passed < len(run.uids):
            break
    return Slice(joined(pieces), covered, found < covered, keywords, undecodable)


def _read_rows(tx: Transaction, key: Key, portion: Sequence[Run], plan: Plan) -> list[Row]:
    uids = portion[0].uids
    if plan.contents and len(portion) == 1 and len(uids) > _SHORT and NUMBERS.issuperset(plan.columns):
        return read_numbers(tx, *key, uids[0], uids[-1], plan.columns)
    columns = ", ".join(plan.columns)
    if len(portion) == 1:
        read = read_joined if plan.joined else read_columns
        return list(read(tx, *key, uids[0], uids[-1], columns))
    read_some = read_some_joined if plan.joined else read_some_columns
    return list(read_some(tx, *key, [uid for run in portion for uid in run.uids], columns))


class _Content:
    """One message's octets, read when they are asked for, or their first ones; `root` as far as the plan needs it."""

    __slots__ = ("_given", "_tx", "blob", "needed", "pieces", "root", "size", "undecodable")

    def __init__(self, tx: Transaction, blob: int, size: int, root: Part | None) -> None:
        self._tx = tx
        self.blob = blob
        self.size = size
        self.root = root
        self.needed = 0  # of its octets, the first ones
        self.pieces: Pieces | None = None
        self.undecodable = False  # a part of it could not be decoded
        self._given = 0

    def read(self, start: int, stop: int) -> bytes:
        if self.pieces is None:
            return b"".join(self._tx.blobs.read(self._tx, self.blob, start, stop))
        if len(self.pieces) > 1:
            self.pieces = (b"".join(self.pieces),)
        whole = self.pieces[0]
        return bytes(whole[start:stop])

    def piece(self, start: int, stop: int) -> bytes | Remote:
        """Octets now, or a promise of them when this message has had its share of memory."""
        if not self.has_room(stop - start):
            return Remote(self.blob, start, stop)
        return self.read(start, stop)

    def has_room(self, size: int) -> bool:
        """Whether so many octets more may be held for this message."""
        self._given += size
        return self._given <= _SHARE and size <= CHUNK


def _that_fit(tx: Transaction, plan: Plan, rows: Sequence[Row], octets: int) -> tuple[list[_Content], int]:
    """The first messages of rows for which a slice that holds so many octets has room, and what it holds then."""
    contents: list[_Content] = []
    for row in rows:
        blob, size, record = plan.content_columns(row)
        content = _Content(tx, blob, size, _root(plan, record))
        needed = content.needed = _needed(plan, content)
        wanted = min(needed * len(plan.contents), _SHARE)
        if plan.whole and size > CHUNK:  # it is read as the client takes it
            wanted = 0
        if octets and octets + wanted > CONTENT_OCTETS:
            break
        contents.append(content)
        octets += wanted
    return contents, octets


def _root(plan: Plan, record: bytes) -> Part | None:
    if not plan.structured:
        return None
    return from_record(record) if plan.parts else root_of_record(record)


def _needed(plan: Plan, content: _Content) -> int:
    """How many of a message's octets the plan's contents lie in."""
    if plan.whole:
        return content.size
    needed = 0
    for attribute in plan.contents:
        section = attribute.section
        assert section is not None
        span = (0, content.size) if content.root is None else locate(content.root, content.size, section)
        if span is not None:
            needed = max(needed, span[1] if section.fields else cut(span, section.partial)[1])
    return needed


def _read_together(tx: Transaction, plan: Plan, contents: Sequence[_Content]) -> None:
    """Read the small ones; BINARY reads its own."""
    if all(attribute.name != "BODY[]" for attribute in plan.contents):
        return
    small = [content for content in contents if content.needed and content.size <= CHUNK]
    stops = [content.needed for content in small]
    whole = all(content.needed == content.size for content in small)
    found = tx.blobs.read_each(tx, [content.blob for content in small], None if whole else stops)
    for content, pieces in zip(small, found, strict=True):
        content.pieces = pieces


def _contents(tx: Transaction, plan: Plan, content: _Content) -> list[Unjoined]:
    """The attributes with sections, and the end of the response."""
    if plan.whole and content.pieces is not None:
        return [plan.whole % content.size, *content.pieces, b")\r\n"]
    pieces: list[Unjoined] = []
    separator = b" " if plan.has_items else b""
    for attribute in plan.contents:
        section = attribute.section
        assert section is not None
        if attribute.name == "BODY[]":
            pieces.extend(_content(content, attribute, section, separator))
        else:
            pieces.extend(_binary(tx, content, attribute, separator))
        separator = b" "
    pieces.append(b")\r\n")
    return pieces


def _content(content: _Content, attribute: Attribute, section: Section, separator: bytes) -> list[Piece]:
    span = (0, content.size) if content.root is None else locate(content.root, content.size, section)
    if span is None:
        return [b"%b%b NIL" % (separator, attribute.label)]
    if section.fields:
        chosen = _fields(content, section, span)
        start, stop = cut((0, len(chosen)), section.partial)
        return [b"%b%b {%d}\r\n%b" % (separator, attribute.label, stop - start, chosen[start:stop])]
    start, stop = cut(span, section.partial)
    return [b"%b%b {%d}\r\n" % (separator, attribute.label, stop - start), content.piece(start, stop)]


def _fields(content: _Content, section: Section, header: Span) -> bytes:
    block = content.read(header[0], min(header[1], header[0] + MAX_HEADER))
    return choose_fields(block, section.fields, section.text == "HEADER.FIELDS.NOT")


def _size(content: _Content, section: Section) -> int:
    """Of a named section, which has no transfer encoding; 0 when there is none."""
    assert content.root is not None
    span = locate(content.root, content.size, section)
    if span is None:
        return 0
    return len(_fields(content, section, span)) if section.fields else span[1] - span[0]


def _binary(tx: Transaction, content: _Content, attribute: Attribute, separator: bytes) -> list[Piece]:
    """BINARY and BINARY.SIZE; of what cannot be decoded NIL or 0, and the command will fail (RFC 3516 4.3)."""
    section = attribute.section
    assert section is not None
    sizing = attribute.name == "BINARY.SIZE[]"
    if section.text:  # which RFC 3516 does not have, but Dovecot and its clients do
        if sizing:
            return [b"%b%b %d" % (separator, attribute.label, _size(content, section))]
        return [*_content(content, attribute, section, separator)]
    nothing = b"%b%b %b" % (separator, attribute.label, b"0" if sizing else b"NIL")
    encoded = find_encoded(content.root, content.blob, content.size, section)
    if encoded is None:
        return [nothing]
    try:
        if sizing:
            return [b"%b%b %d" % (separator, attribute.label, measure(tx, encoded, None).length)]
        if content.has_room(encoded.stop - encoded.start):
            data = decode_now(tx, encoded, section.partial)
            mark = b"~" if b"\x00" in data else b""
            return [b"%b%b %b{%d}\r\n%b" % (separator, attribute.label, mark, len(data), data)]
        encoded = measure(tx, encoded, section.partial)
    except UnknownEncoding:
        content.undecodable = True
        return [nothing]
    return [b"%b%b ~{%d}\r\n" % (separator, attribute.label, encoded.length), encoded]


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
