"""Where each key of a TOML text stands: tomllib tells values but not lines."""

from __future__ import annotations

import re
import tomllib
from typing import Any

Key = tuple[str | int, ...]

_HEADER = re.compile(r"\s*(\[\[?)\s*(.+?)\s*\]\]?\s*(?:#.*)?$")
_PAIR = re.compile(
    r"""\s*((?:"[^"]*"|'[^']*'|[\w-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[\w-]+))*)\s*=(.*)""", re.S
)


def key_lines(text: str) -> dict[Key, int]:
    """The line (from 1) of each table header and key of `text`, which must be valid TOML.

    What stands within an inline table or an array is found at the line of its key.
    """
    lines: dict[Key, int] = {}
    table: Key = ()
    counts: dict[Key, int] = {}
    rows = text.splitlines()
    row = 0
    while row < len(rows):
        start, line = row, rows[row]
        row += 1
        if header := _HEADER.match(line):
            table = _path(header[2])
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            _found(lines, table, start + 1)
        elif pair := _PAIR.match(line):
            _found(lines, (*table, *_path(pair[1])), start + 1)
            value = pair[2]
            while not _complete(value) and row < len(rows):
                value += "\n" + rows[row]
                row += 1
    return lines


def _found(lines: dict[Key, int], key: Key, line: int) -> None:
    """A key stands where it is first named, be it as the beginning of another: `[[queue.routes]]` names two."""
    for end in range(1, len(key) + 1):
        lines.setdefault(key[:end], line)


def line_of(lines: dict[Key, int], key: Key) -> int:
    """The line of `key`, or of the nearest thing around it; 0 when there is none."""
    while key and key not in lines:
        key = key[:-1]
    return lines.get(key, 0)


def _path(dotted: str) -> Key:
    value: Any = tomllib.loads(f"{dotted} = 1")
    path: list[str] = []
    while isinstance(value, dict):
        name, value = next(iter(value.items()))
        path.append(name)
    return tuple(path)


def _complete(value: str) -> bool:
    try:
        tomllib.loads(f"x ={value}")
    except tomllib.TOMLDecodeError:
        return False
    return True
