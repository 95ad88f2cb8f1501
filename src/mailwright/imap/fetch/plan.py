"""A FETCH command made ready: the columns to read, and how rows become responses, a column at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

import msgspec

from mailwright.imap import responses
from mailwright.imap.fetch.lines import make_line
from mailwright.imap.syntax.dates import format_date_time
from mailwright.imap.syntax.fetch import Attribute, Section
from mailwright.imap.syntax.objects import email_id, thread_id
from mailwright.imap.syntax.sequence import Range, contains
from mailwright.imap.view import Run
from mailwright.message.structure import body, bodystructure, envelope_to_utf8, from_record
from mailwright.store.db.api import Row

Octets = Sequence[bytes]
_encode: Final[Callable[[Sequence[int]], bytes]] = msgspec.json.encode
_EVERYTHING: Final = Section()


def _same(column: Octets) -> Octets:
    return column


def _numbers(column: Sequence[int]) -> Octets:
    """Each number in decimal: all at once is several times as quick as one by one."""
    return _encode(column)[1:-1].split(b",")


def _dates(column: Sequence[int]) -> Octets:
    return [format_date_time(seconds) for seconds in column]


def _bodies(records: Octets) -> Octets:
    return [body(from_record(record)) for record in records]


def _bodies_utf8(records: Octets) -> Octets:
    return [body(from_record(record), utf8=True) for record in records]


def _envelopes_utf8(envelopes: Octets) -> Octets:
    return [envelope_to_utf8(envelope) for envelope in envelopes]


def _bodystructures_utf8(column: Octets, records: Octets) -> Octets:
    """Only what holds a message looks different (RFC 9051 7.5.2)."""
    return [
        bodystructure(from_record(record), utf8=True) if b'("message" ' in stored else stored
        for stored, record in zip(column, records, strict=True)
    ]


def _email_ids(messages: Sequence[int]) -> Octets:
    return [email_id(message).encode("ascii") for message in messages]


def _thread_ids(threads: Sequence[int]) -> Octets:
    return [thread_id(thread).encode("ascii") for thread in threads]


def _previews(texts: Sequence[str]) -> Octets:
    return [responses.string(text.encode("utf-8", "replace")) for text in texts]


class _Item(NamedTuple):
    """How an attribute is shown: what stands before its value and after it, and its values for the columns of rows.

    `render` None: as flags.
    """

    before: bytes
    columns: tuple[str, ...]
    render: Callable[..., Octets] | None
    after: bytes = b""


_ITEMS: Final = {
    "UID": _Item(b"UID ", ("p.uid",), _numbers),
    "FLAGS": _Item(b"FLAGS ", ("p.flags", "p.keywords"), None),
    "INTERNALDATE": _Item(b'INTERNALDATE "', ("p.internal_date",), _dates, b'"'),
    "MODSEQ": _Item(b"MODSEQ (", ("p.modseq",), _numbers, b")"),
    "RFC822.SIZE": _Item(b"RFC822.SIZE ", ("m.size",), _numbers),
    "ENVELOPE": _Item(b"ENVELOPE ", ("m.envelope",), _same),
    "BODYSTRUCTURE": _Item(b"BODYSTRUCTURE ", ("m.bodystructure",), _same),
    "BODY": _Item(b"BODY ", ("m.structure",), _bodies),
    "PREVIEW": _Item(b"PREVIEW ", ("m.preview",), _previews),
    "SAVEDATE": _Item(b'SAVEDATE "', ("p.saved_at",), _dates, b'"'),
    "EMAILID": _Item(b"EMAILID (", ("p.message",), _email_ids, b")"),
    "THREADID": _Item(b"THREADID (", ("m.thread",), _thread_ids, b")"),
}
_UTF8_ITEMS: Final = _ITEMS | {  # for clients that enabled IMAP4rev2 or UTF8=ACCEPT
    "ENVELOPE": _Item(b"ENVELOPE ", ("m.envelope",), _envelopes_utf8),
    "BODYSTRUCTURE": _Item(b"BODYSTRUCTURE ", ("m.bodystructure", "m.structure"), _bodystructures_utf8),
    "BODY": _Item(b"BODY ", ("m.structure",), _bodies_utf8),
}
_CONTENT: Final = ("m.blob", "m.size", "m.structure")


class Plan:
    """What to read and to render. `contents` are the attributes that need the message itself.

    `structured`: where they lie the structure tells; `parts`: that of more than the message's own header and body.
    Rows hold `columns`; the UID comes first. `line` is the response as SQL; '': it is made of rows.
    """

    __slots__ = (
        "_content",
        "_made_of",
        "_sources",
        "_texts",
        "by_uid",
        "changed_since",
        "columns",
        "contents",
        "joined",
        "line",
        "parts",
        "recents",
        "structured",
        "whole",
    )

    def __init__(
        self,
        attributes: Sequence[Attribute],
        recents: tuple[Range, ...] = (),
        changed_since: int | None = None,
        by_uid: bool = False,
        utf8: bool = False,
    ) -> None:
        """`recents` are the UIDs that are \\Recent."""
        self._made_of = (attributes, recents, changed_since, by_uid, utf8)
        columns = ["p.uid"]
        self.changed_since = changed_since
        self.contents = tuple([attribute for attribute in attributes if attribute.section is not None])
        sections = [attribute.section for attribute in self.contents]
        self.parts = any(section is not None and section.part for section in sections)
        self.structured = self.parts or any(section is not None and section.text for section in sections)
        self._sources: list[tuple[tuple[int, ...], Callable[..., Octets] | None]] = []
        # What stands before each value, the sequence number first, and after the last one.
        self._texts = [b"* "]
        text = b" UIDFETCH (" if by_uid else b" FETCH ("  # RFC 9586 3
        items = _UTF8_ITEMS if utf8 else _ITEMS
        for attribute in attributes:
            if attribute.section is not None:
                continue
            item = items[attribute.name]
            self._sources.append((_places(columns, item.columns), item.render))
            self._texts.append(text + item.before)
            text = item.after + b" "
        if changed_since is not None:
            _places(columns, ("p.modseq",))
        if self._sources:
            text = text[:-1]
        self._texts.append(text if self.contents else text + b")\r\n")
        self.whole = _whole(self.contents, self.has_items)
        content = _CONTENT[:2] if self.whole else _CONTENT if self.contents else ()
        self._content = _places(columns, content)
        self.columns = tuple(columns)
        self.joined = any(column.startswith("m.") for column in columns)
        self.by_uid = by_uid
        self.recents = recents
        self.line = make_line(attributes, by_uid) if changed_since is None else ""

    def __reduce__(self) -> tuple[type[Plan], tuple[object, ...]]:
        """A process that reads makes it anew."""
        return Plan, self._made_of

    @property
    def only_uids(self) -> bool:
        """Whether nothing but UIDs is asked for."""
        return self.columns == ("p.uid",) and not self.contents

    @property
    def shows_flags(self) -> bool:
        return "p.flags" in self.columns

    @property
    def has_items(self) -> bool:
        """Whether something stands before the contents."""
        return bool(self._sources)

    def content_columns(self, row: Row) -> tuple[int, int, bytes]:
        """Blob, size and structure record of a row, in a plan with contents; whole messages need no record."""
        blob, size, *record = self._content
        return row[blob], row[size], row[record[0]] if record else b""

    def render(self, numbers: Iterable[int], rows: Sequence[Row]) -> bytes:
        """The responses for rows."""
        if not rows:
            return b""
        count, width = len(rows), 2 * len(self._texts) - 1
        pieces = [b""] * (count * width)
        for place, text in enumerate(self._texts):
            pieces[2 * place :: width] = [text] * count
        for place, column in enumerate(self._values(numbers, rows)):
            pieces[2 * place + 1 :: width] = column
        return b"".join(pieces)

    def render_each(self, numbers: Iterable[int], rows: Sequence[Row]) -> list[bytes]:
        """For each row its response; with contents, only up to them."""
        found: list[bytes] = []
        values = self._values(numbers, rows) if rows else []
        for row in range(len(rows)):
            pieces = [self._texts[0]]
            for place, column in enumerate(values, 1):
                pieces.append(column[row])
                pieces.append(self._texts[place])
            found.append(b"".join(pieces))
        return found

    def _values(self, numbers: Iterable[int], rows: Sequence[Row]) -> list[Octets]:
        """What stands between the texts: columns with a value for each row. There must be rows."""
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
        values = [_numbers(list(numbers))]
        for places, render in self._sources:
            if render is None:
                values.append(self._flags(columns[0], columns[places[0]], columns[places[1]]))
            else:
                values.append(render(*[columns[place] for place in places]))
        return values

    def keywords(self, rows: Sequence[Row]) -> set[str]:
        """The texts of keywords that are shown for these rows."""
        if not self.shows_flags:
            return set()
        place = self.columns.index("p.keywords")
        return {row[place] for row in rows if row[place]}

    def _flags(self, uids: Sequence[int], masks: Sequence[int], keywords: Sequence[str]) -> Octets:
        texts, recents = responses.flag_texts, self.recents
        if not recents:
            return list(map(texts.__getitem__, zip(masks, keywords, strict=True)))
        return [
            texts.recent(mask, words) if contains(recents, uid) else texts[mask, words]
            for uid, mask, words in zip(uids, masks, keywords, strict=True)
        ]

    def select(self, runs: Sequence[Run], rows: Sequence[Row]) -> tuple[Iterable[int], Sequence[Row]]:
        """Sequence numbers for the rows of runs, without those that are not asked for."""
        if self.changed_since is not None:
            since, place = self.changed_since, self.columns.index("p.modseq")
            rows = [row for row in rows if row[place] > since]
        if not self.by_uid and len(rows) == sum([len(run.uids) for run in runs]):
            return chain.from_iterable([range(run.number, run.number + len(run.uids)) for run in runs]), rows
        numbers = {uid: number for run in runs for number, uid in enumerate(run.uids, run.number)}
        rows = [row for row in rows if row[0] in numbers]
        return [row[0] if self.by_uid else numbers[row[0]] for row in rows], rows


def _whole(contents: tuple[Attribute, ...], follows: bool) -> bytes:
    """What goes before the octets of a message when nothing but BODY[] is asked for; else b''."""
    if len(contents) != 1 or contents[0].name != "BODY[]" or contents[0].section != _EVERYTHING:
        return b""
    return (b" " if follows else b"") + contents[0].label + b" {%d}\r\n"


def _places(columns: list[str], wanted: tuple[str, ...]) -> tuple[int, ...]:
    for column in wanted:
        if column not in columns:
            columns.append(column)
    return tuple([columns.index(column) for column in wanted])
