"""`mailwright version`."""

from __future__ import annotations

import importlib.machinery
import json
import platform
from importlib import resources
from pathlib import Path

import click

from mailwright import __version__
from mailwright.cli.options import json_option
from mailwright.cli.output import echo_json


@click.command()
@json_option
def version(as_json: bool) -> None:
    """Say which version this is, and which of its rooms are compiled."""
    rooms = compiled_rooms()
    if as_json:
        echo_json(
            {
                "version": __version__,
                "python": platform.python_version(),
                "compiled": rooms,
                "reason": None if rooms else _reason(),
            }
        )
        return
    click.echo(f"Mailwright {__version__}, Python {platform.python_version()}")
    click.echo(f"Compiled: {', '.join(rooms)}" if rooms else f"Plain Python: {_reason()}")


def compiled_rooms() -> list[str]:
    """The rooms, as folders of the package, of which something is compiled."""
    package = Path(str(resources.files("mailwright")))
    suffixes = tuple(importlib.machinery.EXTENSION_SUFFIXES)
    files = [file for file in package.rglob("*") if file.name.endswith(suffixes)]
    return sorted({file.parent.relative_to(package).as_posix() for file in files})


def _reason() -> str:
    record = resources.files("mailwright") / "build.json"
    try:
        return str(json.loads(record.read_text("utf-8"))["reason"])
    except FileNotFoundError:
        return "it runs from its source"
