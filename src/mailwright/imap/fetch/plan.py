"""A FETCH command made ready: the columns to read, and how rows become responses, a column at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

from mailwright.imap import responses
from mailwright.imap.fetch.lines import make_line
from mailwright.imap.syntax.dates import format_date_time
from mailwright.imap.syntax.fetch import Attribute, Section
from mailwright.imap.syntax.objects import email_id, thread_id
from mailwright.imap.syntax.sequence import Range, contains
from mailwright.imap.view import Run
from mailwright.message.structure import body, bodystructure, envelope_to_utf8, from_record
from mailwright.store.db.api import Row

Columns = Sequence[Sequence[Any]]


class _Item(NamedTuple):
    """How an attribute is shown, from which columns, and how their values become the one that is shown."""

    shown: bytes
    columns: tuple[str, ...]
    render: Callable[..., Any] | None = None


def _date(seconds: int) -> bytes:
    return format_date_time(seconds).encode("ascii")


def _body(record: bytes) -> bytes:
    return body(from_record(record))


def _body_utf8(record: bytes) -> bytes:
    return body(from_record(record), utf8=True)


def _bodystructure_utf8(stored: bytes, record: bytes) -> bytes:
    """Only what holds a message looks different (RFC 9051 7.5.2)."""
    return bodystructure(from_record(record), utf8=True) if b'("message" ' in stored else stored


def _email_id(message: int) -> bytes:
    return email_id(message).encode("ascii")


def _thread_id(thread: int) -> bytes:
    return thread_id(thread).encode("ascii")


def _preview(text: str) -> bytes:
    return responses.string(text.encode("utf-8", "replace"))


_ITEMS: Final = {
    "UID": _Item(b"UID %d", ("p.uid",)),
    "INTERNALDATE": _Item(b'INTERNALDATE "%b"', ("p.internal_date",), _date),
    "MODSEQ": _Item(b"MODSEQ (%d)", ("p.modseq",)),
    "RFC822.SIZE": _Item(b"RFC822.SIZE %d", ("m.size",)),
    "ENVELOPE": _Item(b"ENVELOPE %b", ("m.envelope",)),
    "BODYSTRUCTURE": _Item(b"BODYSTRUCTURE %b", ("m.bodystructure",)),
    "BODY": _Item(b"BODY %b", ("m.structure",), _body),
    "PREVIEW": _Item(b"PREVIEW %b", ("m.preview",), _preview),
    "SAVEDATE": _Item(b'SAVEDATE "%b"', ("p.saved_at",), _date),
    "EMAILID": _Item(b"EMAILID (%b)", ("p.message",), _email_id),
    "THREADID": _Item(b"THREADID (%b)", ("m.thread",), _thread_id),
}
_UTF8_ITEMS: Final = {  # what differs for clients that enabled IMAP4rev2 or UTF8=ACCEPT
    "ENVELOPE": _Item(b"ENVELOPE %b", ("m.envelope",), envelope_to_utf8),
    "BODYSTRUCTURE": _Item(b"BODYSTRUCTURE %b", ("m.bodystructure", "m.structure"), _bodystructure_utf8),
    "BODY": _Item(b"BODY %b", ("m.structure",), _body_utf8),
}
_FLAGS: Final = ("p.flags", "p.keywords")
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
        "_template",
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
        self._sources: list[tuple[tuple[int, ...], Callable[..., Any] | None]] = []
        shown = []
        items = _ITEMS | _UTF8_ITEMS if utf8 else _ITEMS
        for attribute in attributes:
            if attribute.section is not None:
                continue
            item = items.get(attribute.name) or _Item(b"FLAGS %b", _FLAGS)
            self._sources.append((_places(columns, item.columns), item.render))
            shown.append(item.shown)
        if changed_since is not None:
            _places(columns, ("p.modseq",))
        self.whole = _whole(self.contents, bool(shown))
        content = _CONTENT[:2] if self.whole else _CONTENT if self.contents else ()
        self._content = _places(columns, content)
        self.columns = tuple(columns)
        self.joined = any(column.startswith("m.") for column in columns)
        self.by_uid = by_uid
        self.recents = recents
        self.line = make_line(attributes, by_uid) if changed_since is None else ""
        head = b"* %d UIDFETCH (" if by_uid else b"* %d FETCH ("  # RFC 9586 3
        self._template = head + b" ".join(shown) + (b"" if self.contents else b")\r\n")

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

    def render(self, numbers: Iterable[int], rows: Sequence[Row]) -> Iterator[bytes]:
        """For each row its response; with contents, only up to them."""
        if not rows:
            return iter(())
        columns = list(zip(*rows, strict=True))
        values: list[Iterable[Any]] = [numbers]
        for places, render in self._sources:
            if render is None and len(places) == 2:
                values.append(self._flags(columns[0], columns[places[0]], columns[places[1]]))
            elif render is None:
                values.append(columns[places[0]])
            else:
                values.append(map(render, *[columns[place] for place in places]))
        return map(self._template.__mod__, zip(*values, strict=False))

    def keywords(self, rows: Sequence[Row]) -> set[str]:
        """The texts of keywords that are shown for these rows."""
        if not self.shows_flags:
            return set()
        place = self.columns.index("p.keywords")
        return {row[place] for row in rows if row[place]}

    def _flags(self, uids: Sequence[int], masks: Sequence[int], keywords: Sequence[str]) -> Iterable[bytes]:
        texts, recents = responses.flag_texts, self.recents
        if not recents:
            return map(texts.__getitem__, zip(masks, keywords, strict=True))
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
    if len(contents) != 1 or contents[0].name != "BODY[]" or contents[0].section != Section():
        return b""
    return (b" " if follows else b"") + contents[0].label + b" {%d}\r\n"


def _places(columns: list[str], wanted: tuple[str, ...]) -> tuple[int, ...]:
    for column in wanted:
        if column not in columns:
            columns.append(column)
    return tuple([columns.index(column) for column in wanted])
