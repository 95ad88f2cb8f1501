"""The reference page of all settings, made from the settings by `python -m mailwright.config.reference`."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mailwright.config.settings import LIMITS, Config

HEAD = """\
# Configuration

<!-- Made by `python -m mailwright.config.reference > docs/configuration.md`: edit the settings instead. -->

One TOML file, `/etc/mailwright/mailwright.toml` unless `--config` or `MAILWRIGHT_CONFIG` names another.
Every setting has a default; an empty file is a working server. A setting that does not exist, or a value that
does not fit, stops the start with the file, the line and what to write instead.

Sizes are octets, or text such as `"50 MiB"`; times are seconds, or text such as `"4h"`. Relative paths start
from the folder of the file.
"""


def page() -> str:
    """The whole page, in Markdown."""
    return HEAD + "".join(_section(Config, ()))


def _section(kind: type[Any], path: tuple[str, ...]) -> Iterator[str]:
    """The page's part for one dataclass: its own settings as a table, then the sections within it."""
    hints = typing.get_type_hints(kind)
    rows: list[str] = []
    inner: list[tuple[str, type[Any], str]] = []
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        item = typing.get_args(hint)[0] if typing.get_origin(hint) is tuple else hint
        name = ".".join((*path, field.name))
        if dataclasses.is_dataclass(item):
            bracketed = f"[[{name}]]" if item is not hint else f"[{name}]"
            inner.append((bracketed, typing.cast(type[Any], item), field.name))
        else:
            rows.append(_row(field, hint))
    if rows:
        yield "\n| setting | default | meaning |\n| --- | --- | --- |\n" + "".join(rows)
    if path == ("listeners",):
        yield _listeners()
        return
    for bracketed, item, name in inner:
        yield f"\n{'#' * (2 + len(path))} {bracketed}\n\n{_summary(item)}\n"
        yield from _section(item, (*path, name))


def _listeners() -> str:
    kinds = dataclasses.fields(Config().listeners)
    text = "\nEach service is a section, as `[listeners.smtp]`:\n\n"
    text += "| service | default addresses |\n| --- | --- |\n"
    for field in kinds:
        text += f"| `{field.name}` | {_default(getattr(Config().listeners, field.name).addresses)} |\n"
    text += "\n| setting | default | meaning |\n| --- | --- | --- |\n"
    listener = type(Config().listeners.smtp)
    for field in dataclasses.fields(listener):
        text += _row(field, None)
    return text


def _row(field: dataclasses.Field[Any], hint: Any) -> str:
    text = field.metadata.get("text") or LIMITS[field.name][1]
    unit = field.metadata.get("unit") or (LIMITS[field.name][0] if field.name in LIMITS else "")
    if typing.get_origin(hint) is typing.Literal:
        text += " One of " + ", ".join(f'`"{choice}"`' for choice in typing.get_args(hint)) + "."
    return f"| `{field.name}` | {_default(field.default, unit)} | {text} |\n"


def _summary(kind: type[Any]) -> str:
    return "What a peer may cost us." if kind.__name__ == "Limits" else " ".join((kind.__doc__ or "").split())


def _default(value: Any, unit: str = "") -> str:
    if value is None:
        return "unset"
    if isinstance(value, tuple):
        items = [_with_unit(item, unit) if unit else f'"{item}"' for item in value]
        return f"`[{', '.join(items)}]`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str | Path):
        return f'`"{value}"`'
    return f"`{_with_unit(value, unit)}`"


def _with_unit(value: float, unit: str) -> str:
    scales = {
        "octets": ((2**20, "MiB"), (2**10, "KiB")),
        "seconds": ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s")),
    }
    for scale, name in scales.get(unit, ()):
        if value and value % scale == 0:
            gap = " " if unit == "octets" else ""
            return f'"{value / scale:g}{gap}{name}"'
    return f"{value:g}" if value < 1e6 else str(value)


if __name__ == "__main__":
    print(page(), end="")
