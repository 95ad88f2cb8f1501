"""Tag lists (RFC 6376 3.2), as in signatures and key records."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_BLANK: Final = re.compile(r"[ \t\r\n]+")
_WSP: Final = " \t\r\n"


class InvalidTags(ValueError):
    """Not a tag list, or a value that its tag does not allow; the message says which."""


def parse_tags(data: bytes) -> dict[str, str]:
    """Name to value, in order, the blanks around both removed. Raises InvalidTags, on a double name too."""
    tags: dict[str, str] = {}
    parts = data.decode("utf-8", "surrogateescape").split(";")
    if not parts[-1].strip(_WSP):
        parts.pop()
    for part in parts:
        name, equals, value = part.partition("=")
        name = name.strip(_WSP)
        if not equals or not _NAME.match(name):
            raise InvalidTags(f"{part.strip(_WSP)[:40]!r} is not a tag")
        if name in tags:
            raise InvalidTags(f"tag {name}= occurs twice")
        tags[name] = value.strip(_WSP)
    return tags


def split_list(value: str) -> list[str]:
    """The items of a colon-separated value."""
    return [item.strip(_WSP) for item in value.split(":")]


def decode_base64(tag: str, value: str) -> bytes:
    """The octets of a base64 value, which may hold blanks. Raises InvalidTags."""
    try:
        return base64.b64decode(_BLANK.sub("", value).encode("ascii"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidTags(f"{tag}= is not base64") from error


def decode_number(tag: str, value: str) -> int:
    """An unsigned decimal of at most 12 digits (RFC 6376 3.5 allows l= more, but no message is as long)."""
    if not (value.isascii() and value.isdigit() and len(value) <= 12):
        raise InvalidTags(f"{tag}= is not a number")
    return int(value)
