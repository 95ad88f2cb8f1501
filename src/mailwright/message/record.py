"""A message's structure as the database keeps it: versioned, compact, enough for every FETCH without the message."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from mailwright.message.parsed import ParsedMessage
from mailwright.message.part import Part

VERSION: Final = 1


class RecordError(ValueError):
    """Octets that are no record of this version: parse the message again."""


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder()


def to_record(parsed: ParsedMessage) -> bytes:
    """The tree of parts with its offsets, as one msgpack array: version, then the parts in the source's order."""
    record: list[Any] = [VERSION]
    for part in parsed.root.walk():
        item: list[Any] = [
            "" if part.content_type == "text/plain" else part.content_type,
            part.header_start,
            part.body_start - part.header_start,
            part.end - part.body_start,
            part.lines,
            len(part.children),
            "" if part.encoding == "7bit" else part.encoding,
            _flat(part.raw_params),
            _raw(part.disposition),
            _flat(part.raw_disposition_params),
            _raw(part.content_id),
            _raw(part.description),
            part.envelope,
            [_raw(tag) for tag in part.language],
            _raw(part.location),
            _raw(part.md5),
        ]
        while len(item) > 4 and not item[-1]:  # what is empty at the end is left out
            item.pop()
        record.append(item)
    return _encoder.encode(record)


def _raw(text: str) -> str | bytes:
    """msgpack's text must be Unicode: what has raw octets goes as octets."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape")


def _flat(params: tuple[tuple[str, str], ...]) -> list[str | bytes]:
    return [_raw(text) for pair in params for text in pair]


def from_record(record: bytes) -> Part:
    """The tree that `to_record` kept. Raises RecordError."""
    return _read(record, whole=True)


def root_of_record(record: bytes) -> Part:
    """As `from_record`, the root alone and without its children: enough for what lies in the message itself."""
    return _read(record, whole=False)


def _read(record: bytes, whole: bool) -> Part:
    try:
        version, *items = _decoder.decode(record)
        root = None
        if version == VERSION:
            root = _tree(items) if whole else _part(items[0])[0]
    except (msgspec.DecodeError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise RecordError("not a structure record: parse the message again") from error
    if root is None:
        raise RecordError(f"a structure record of version {version}, not {VERSION}: parse the message again")
    return root


def _tree(items: list[list[Any]]) -> Part:
    root, count = _part(items[0])
    waiting = [(root, count)]  # parts with the number of their children
    for item in items[1:]:
        part, count = _part(item)
        while waiting[-1][1] == len(waiting[-1][0].children):
            waiting.pop()
        waiting[-1][0].children.append(part)
        waiting.append((part, count))
    return root


def _part(item: list[Any]) -> tuple[Part, int]:
    if len(item) < 4:
        raise ValueError("a part without offsets")
    item = item + _DEFAULTS[len(item) :]
    kind, _, subtype = (item[0] or "text/plain").partition("/")
    start, header, size = item[1], item[2], item[3]
    part = Part(kind, subtype, start, start + header, start + header + size)
    part.lines = item[4]
    part.encoding = item[6] or "7bit"
    part.raw_params = _pairs(item[7])
    part.disposition = _str(item[8])
    part.raw_disposition_params = _pairs(item[9])
    part.content_id = _str(item[10])
    part.description = _str(item[11])
    part.envelope = item[12]
    part.language = tuple([_str(tag) for tag in item[13]])
    part.location = _str(item[14])
    part.md5 = _str(item[15])
    return part, item[5]


_DEFAULTS: Final[list[Any]] = ["", 0, 0, 0, 0, 0, "", [], "", [], "", "", b"", [], "", ""]


def _str(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode("utf-8", "surrogateescape")


def _pairs(flat: list[str | bytes]) -> tuple[tuple[str, str], ...]:
    if not flat:
        return ()
    texts = [_str(text) for text in flat]
    return tuple(zip(texts[::2], texts[1::2], strict=True))
