"""A small strict reader of IMAP's parenthesised lists, as a client has it."""

from __future__ import annotations

import re
from typing import Any

_TOKEN = re.compile(rb'\(|\)|"(?:[^"\\\r\n\0\x80-\xff]|\\["\\])*"|NIL|\d+')


def read(data: bytes) -> Any:
    """Lists as lists, strings as bytes, NIL as None. Asserts on all that a client could stumble over."""
    value, at = _read(data, 0)
    assert at == len(data), data[at:]
    return value


def _read(data: bytes, at: int) -> tuple[Any, int]:
    match = _TOKEN.match(data, at)
    assert match is not None, data[max(0, at - 40) : at + 40]
    token, at = match.group(), match.end()
    if token == b"(":
        items: list[Any] = []
        while data[at : at + 1] != b")":
            if items:
                # Between two bodies of a multipart and two addresses there is no space.
                glued = isinstance(items[-1], list) and data[at : at + 1] == b"("
                assert glued or data[at : at + 1] == b" ", data[max(0, at - 40) : at + 40]
                at += 0 if glued else 1
            item, at = _read(data, at)
            items.append(item)
        return items, at + 1
    assert token != b")"
    if token == b"NIL":
        return None, at
    if token[:1] == b'"':
        return token[1:-1].replace(b'\\"', b'"').replace(b"\\\\", b"\\"), at
    return int(token), at


def check_envelope(value: Any) -> None:
    """RFC 3501 9, `envelope`."""
    assert isinstance(value, list)
    assert len(value) == 10
    for index, item in enumerate(value):
        if index in (0, 1, 8, 9):
            assert item is None or isinstance(item, bytes)
        elif item is not None:
            assert item
            for address in item:
                assert len(address) == 4
                assert all(text is None or isinstance(text, bytes) for text in address)


def check_body(value: Any, extended: bool) -> None:
    """RFC 3501 9, `body`."""
    if isinstance(value[0], list):
        bodies = [item for item in value if isinstance(item, list)]
        count = next(i for i, item in enumerate(value) if not isinstance(item, list))
        for item in bodies[:count]:
            check_body(item, extended)
        assert isinstance(value[count], bytes)
        rest = value[count + 1 :]
        assert len(rest) == (4 if extended else 0)
        if extended:
            _check_params(rest[0])
            _check_extension(rest[1:])
        return
    kind, subtype, params, content_id, description, encoding, size = value[:7]
    assert isinstance(kind, bytes)
    assert isinstance(subtype, bytes)
    _check_params(params)
    for text in (content_id, description):
        assert text is None or isinstance(text, bytes)
    assert isinstance(encoding, bytes)
    assert isinstance(size, int)
    rest = value[7:]
    if kind == b"text":
        assert isinstance(rest[0], int)
        rest = rest[1:]
    elif (kind, subtype) == (b"message", b"rfc822"):
        check_envelope(rest[0])
        check_body(rest[1], extended)
        assert isinstance(rest[2], int)
        rest = rest[3:]
    assert len(rest) == (4 if extended else 0)
    if extended:
        assert rest[0] is None or isinstance(rest[0], bytes)
        _check_extension(rest[1:])


def _check_params(value: Any) -> None:
    assert value is None or (value and len(value) % 2 == 0 and all(isinstance(text, bytes) for text in value))


def _check_extension(value: Any) -> None:
    disposition, language, location = value
    if disposition is not None:
        assert isinstance(disposition[0], bytes)
        _check_params(disposition[1])
    assert language is None or isinstance(language, bytes) or all(isinstance(tag, bytes) for tag in language)
    assert location is None or isinstance(location, bytes)
