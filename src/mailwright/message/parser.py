"""Any octets into the tree of a message's parts, in one pass, with bounded work."""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass
from typing import Final

from mailwright.message.envelope import render_envelope
from mailwright.message.header import AS_NAME, LF, NO_NAME
from mailwright.message.mime import (
    Params,
    decode_params,
    parse_content_type,
    parse_disposition,
    parse_encoding,
)
from mailwright.message.parsed import ParsedMessage
from mailwright.message.part import Part

Buffer = bytes | mmap.mmap


@dataclass(frozen=True)
class ParseLimits:
    """What is over a limit is the opaque content of its parent."""

    depth: int = 100  # multiparts and messages within each other
    parts: int = 5000
    header: int = 256 * 1024  # octets of one header block whose fields are read
    headers: int = 1024 * 1024  # the same, of all parts together
    strays: int = 100_000  # lines that begin like a delimiter and are none


DEFAULT_LIMITS: Final = ParseLimits()
MAX_BOUNDARY: Final = 998  # RFC 2046 5.1.1 allows 70, the line of RFC 5322 2.1.1 allows this
_DELIMITER_LINE: Final = 2048  # octets in which a delimiter line must end
_COUNT_CHUNK: Final = 1 << 20

_BLANK_LINE: Final = re.compile(rb"\n\r*+\n")
_EMPTY_LINE: Final = re.compile(rb"\r*+\n")
_TAGS: Final = re.compile(r"[^\s,]+")


def parse_message(source: Buffer, *, limits: ParseLimits = DEFAULT_LIMITS) -> ParsedMessage:
    """The structure of any octets; never raises.

    Works on offsets and copies no body. The result keeps `source` for its preview: leave a mmap open until then.
    """
    parser = _Parser(source, limits)
    return ParsedMessage(source, parser.parse(), parser.root_fields, parser.root_header)


class _Open:
    """A multipart or message whose end is not known yet."""

    __slots__ = ("boundary", "digest", "part")

    def __init__(self, part: Part, boundary: bytes, digest: bool) -> None:
        self.part: Part = part
        self.boundary: bytes = boundary  # b"" of a message, and of a multipart after its close delimiter
        self.digest: bool = digest


class _Parser:
    def __init__(self, source: Buffer, limits: ParseLimits) -> None:
        self.source: Buffer = source
        self.size: int = len(source)
        self.limits: ParseLimits = limits
        self.stack: list[_Open] = []
        self.leaf: Part | None = None  # the part that the next delimiter ends
        self.needle: bytes = b""  # what each active delimiter begins with, and the line end before it
        self.delimiters: dict[bytes, tuple[int, bool]] = {}  # line -> (index in `stack`, closing)
        self.parts: int = 0
        self.header_budget: int = limits.headers
        self.strays: int = 0
        self.hit_start: int = 0  # the delimiter last found: from its line end before ...
        self.hit_end: int = 0  # ... to the start of the line after it
        self.blank_from: int = 1  # no blank line stands from here ...
        self.blank_start: int = 0  # ... to the line end before the next one, ...
        self.blank_end: int = 0  # ... behind which this one ends
        self.counted: list[Part] = []  # parts whose lines matter
        self.messages: bool = False
        self.root_fields: dict[bytes, bytes] = {}
        self.root_header: bytes = b""

    def parse(self) -> Part:
        root = self.enter(0, False)
        at = root.body_start if self.leaf is root else self.position()
        while self.needle:
            hit = self.next_delimiter(max(at - 1, 0), self.size)
            if hit is None:
                break
            index, closing = hit
            at = self.hit_end
            self.close(index + 1, self.hit_start)
            parent = self.stack[index]
            if closing:
                parent.boundary = b""
                self.rearm()
            elif (
                self.parts >= self.limits.parts or at >= self.size
            ):  # cut off behind a delimiter: no part begins
                break
            else:
                self.enter(at, parent.digest)
                at = self.position()
        self.close(0, self.size)
        self.count_lines()
        return root

    def position(self) -> int:
        """Where the search for the next delimiter goes on: in the body that was entered last."""
        return self.leaf.body_start if self.leaf is not None else self.stack[-1].part.body_start

    def close(self, index: int, end: int) -> None:
        """End all that is open from `index` in the stack on, at `end` or where it began."""
        if self.leaf is not None:
            end = max(
                end, self.leaf.body_start
            )  # an empty body's blank line may be the delimiter's line end too
            self.leaf.end = end
            self.leaf = None
        if len(self.stack) > index:
            armed = False
            while len(self.stack) > index:
                ended = self.stack.pop()
                ended.part.end = end = max(end, ended.part.body_start)
                armed = armed or bool(ended.boundary)
            if armed:
                self.rearm()

    def rearm(self) -> None:
        """Look for the delimiters of the multiparts that are open now; the innermost wins."""
        self.delimiters = {}
        self.needle = b""
        for index, entry in enumerate(self.stack):
            if entry.boundary:
                self.arm(index, entry.boundary)

    def arm(self, index: int, boundary: bytes) -> None:
        self.delimiters[boundary + b"--"] = (index, True)
        self.delimiters[boundary] = (index, False)
        needle = b"\n--" + boundary
        if self.needle and not needle.startswith(self.needle):
            same = 3
            while same < len(needle) and same < len(self.needle) and needle[same] == self.needle[same]:
                same += 1
            needle = needle[:same]
        elif self.needle:
            return
        self.needle = needle

    def next_delimiter(self, at: int, limit: int) -> tuple[int, bool] | None:
        """The next delimiter line whose line end before it stands in [at, limit): its stack index, and if it closes."""
        source, needle = self.source, self.needle
        while self.strays < self.limits.strays:
            start = source.find(needle, at, limit)
            if start < 0:
                return None
            end = source.find(b"\n", start + 1, min(start + _DELIMITER_LINE, self.size))
            after = end + 1
            if end < 0:
                end = after = min(start + _DELIMITER_LINE, self.size)
            hit = self.delimiters.get(source[start + 3 : end].rstrip(b" \t\r"))
            if hit is not None and (after > end or end == self.size):
                self.hit_start = start - 1 if start > 0 and source[start - 1] == 13 else start
                self.hit_end = after
                return hit
            self.strays += 1
            at = start + 1
        return None

    def enter(self, at: int, digest: bool) -> Part:
        """Read the part that begins at `at`, and the messages that begin with its body."""
        first: Part | None = None
        while True:
            part, fields = self.header(at, digest)
            if first is None:
                first = part
            self.parts += 1
            if self.stack:
                parent = self.stack[-1].part
                parent.children.append(part)
                if parent.type == "message":
                    parent.envelope = render_envelope(fields)
            if part.type == "multipart":
                self.enter_multipart(part)
                return first
            if part.type == "text":
                self.counted.append(part)
            elif part.type == "message" and part.subtype in ("rfc822", "global"):
                self.counted.append(part)
                if self.holds_message(part):
                    self.messages = True
                    self.stack.append(_Open(part, b"", False))
                    at, digest = part.body_start, False
                    continue
            self.leaf = part
            return first

    def enter_multipart(self, part: Part) -> None:
        boundary = boundary_of(part.raw_params)
        if len(self.stack) >= self.limits.depth:
            _retype(part, "application", "octet-stream")
            self.leaf = part
        elif not boundary:  # without one it is malformed, which RFC 2045 5.2 lets us take for plain text
            _retype(part, "text", "plain")
            part.raw_params = ()
            self.counted.append(part)
            self.leaf = part
        else:
            self.stack.append(_Open(part, boundary, part.subtype == "digest"))
            self.arm(len(self.stack) - 1, boundary)

    def holds_message(self, part: Part) -> bool:
        return (
            part.encoding in ("7bit", "8bit", "binary")
            and len(self.stack) < self.limits.depth
            and self.parts < self.limits.parts
        )

    def header(self, at: int, digest: bool) -> tuple[Part, dict[bytes, bytes]]:
        """Read the header block at `at`; the part has no end yet."""
        source = self.source
        body_start = self.header_end(at)
        room = min(self.limits.header, self.header_budget)
        block = source[at : min(body_start, at + room)]
        self.header_budget -= len(block)
        fields, block, body_start = _read_fields(block, at, body_start)
        part = _part(fields, at, body_start, digest)
        if part.type == "multipart":  # its first delimiter may stand where the blank line should
            boundary = boundary_of(part.raw_params)
            cut = block.find(b"\n--" + boundary) if boundary else -1
            if cut >= 0 and block[cut + 3 :].partition(b"\n")[0].rstrip() in (boundary, boundary + b"--"):
                block = block[: cut + 1]
                fields, block, body_start = _read_fields(block, at, at + len(block))
                part = _part(fields, at, body_start, digest)
        if not self.parts:
            self.root_fields = fields
            self.root_header = block
        return part, fields

    def header_end(self, at: int) -> int:
        """Where the body begins: after the blank line, or at a delimiter before that, or at the end."""
        source = self.source
        empty = _EMPTY_LINE.match(source, at)
        if empty is not None:
            return empty.end()
        if not self.blank_from <= at <= self.blank_start:  # else the next blank line is known already
            blank = _BLANK_LINE.search(source, at)
            self.blank_from = at
            self.blank_start, self.blank_end = blank.span() if blank is not None else (self.size, self.size)
        end = self.blank_end
        if self.needle and at > 0:
            saved = self.hit_start, self.hit_end
            if self.next_delimiter(at - 1, self.blank_start) is not None:
                start = self.hit_start
                end = max(at, start + (2 if source[start] == 13 else 1))
            self.hit_start, self.hit_end = saved
        return end

    def count_lines(self) -> None:
        """Line ends of the bodies. Messages hold other parts, so with them all is counted in one sweep."""
        if not self.messages:
            for part in self.counted:
                part.lines = self.count(part.body_start, part.end)
            return
        marks = sorted({mark for part in self.counted for mark in (part.body_start, part.end)})
        totals: dict[int, int] = {}
        total = previous = 0
        for mark in marks:
            total += self.count(previous, mark)
            totals[mark] = total
            previous = mark
        for part in self.counted:
            part.lines = totals[part.end] - totals[part.body_start]

    def count(self, start: int, end: int) -> int:
        source = self.source
        if isinstance(source, bytes):
            return source.count(b"\n", start, end)
        total = 0
        while start < end:
            total += source[start : min(end, start + _COUNT_CHUNK)].count(b"\n")
            start += _COUNT_CHUNK
        return total


def _read_fields(block: bytes, at: int, body_start: int) -> tuple[dict[bytes, bytes], bytes, int]:
    """The block's fields by lower-case name. Lines behind the last field that are no fields begin the body."""
    fields: dict[bytes, bytes] = {}
    junk = -1  # the first of such lines
    lines = block.split(b"\n")
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        before, colon, value = line.partition(b":")
        name = before.translate(AS_NAME) if colon else b""
        if NO_NAME in name:  # perhaps only white space before the colon
            name = before.rstrip(b" \t").translate(AS_NAME)
        if not name or NO_NAME in name:
            if junk < 0 and line.strip(b"\r"):
                junk = number - 1
            continue
        junk = -1
        value = value.lstrip(b" \t")
        first = number
        while number < len(lines) and _is_folded(lines[number]):
            number += 1
        if number > first:
            value = b"\n".join([value, *lines[first:number]])
        if name not in fields:
            fields[name] = value
        elif name in _LISTS:
            fields[name] += _LISTS[name] + value
    if junk >= 0 and len(block) == body_start - at:
        start = sum([len(line) + 1 for line in lines[:junk]])
        return fields, block[:start], at + start
    return fields, block, body_start


def _is_folded(line: bytes) -> bool:
    return len(line) > 0 and (line[0] == 32 or line[0] == 9)


# Fields that are read together when they come more than once; of all others the first counts.
_LISTS: Final = {
    b"from": b",", b"to": b",", b"cc": b",", b"bcc": b",", b"reply-to": b",", b"references": b" ",
    b"in-reply-to": b" ",
}  # fmt: skip


def _part(fields: dict[bytes, bytes], start: int, body_start: int, digest: bool) -> Part:
    raw = fields.get(b"content-type")
    kind = ""
    params: Params = ()
    subtype = ""
    if raw is not None:
        kind, subtype, params = parse_content_type(raw)
    if not kind:
        kind, subtype = ("message", "rfc822") if digest and raw is None else ("text", "plain")
    part = Part(kind, subtype, start, body_start, body_start)
    part.raw_params = params
    raw = fields.get(b"content-transfer-encoding")
    if raw is not None:
        part.encoding = parse_encoding(raw)
    raw = fields.get(b"content-disposition")
    if raw is not None:
        part.disposition, part.raw_disposition_params = parse_disposition(raw)
    for name in _RARE.keys() & fields.keys():
        _set_rare(part, _RARE[name], _text(fields[name]))
    return part


_RARE: Final = {
    b"content-id": 1,
    b"content-description": 2,
    b"content-language": 3,
    b"content-location": 4,
    b"content-md5": 5,
}


def _set_rare(part: Part, which: int, text: str) -> None:
    if which == 1:
        part.content_id = text
    elif which == 2:
        part.description = text
    elif which == 3:
        part.language = tuple(_TAGS.findall(text)[:20])
    elif which == 4:
        part.location = text
    else:
        part.md5 = text


def _text(raw: bytes) -> str:
    if LF in raw:
        raw = raw.replace(b"\r\n", b"").replace(b"\n", b"")
    return raw.strip().decode("utf-8", "surrogateescape")


def _retype(part: Part, kind: str, subtype: str) -> None:
    part.type, part.subtype, part.content_type = kind, subtype, kind + "/" + subtype


def boundary_of(params: Params) -> bytes:
    """The boundary that lines are compared with; b"" when there is none that a line could hold."""
    found = [value for name, value in params if name == "boundary"]
    value = found[0] if found else decode_params(params).get("boundary", "")
    boundary = value.encode("utf-8", "surrogateescape").rstrip()
    return boundary if len(boundary) <= MAX_BOUNDARY and LF not in boundary else b""
