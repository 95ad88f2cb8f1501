"""Options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_CONFIG: Final = Path("/etc/mailwright/mailwright.toml")

config_path_option = click.option(
    "--config",
    "-c",
    "config_path",
    type=click.Path(path_type=Path, readable=False),  # who reads it tells what is wrong
    envvar="MAILWRIGHT_CONFIG",
    default=DEFAULT_CONFIG,
    show_default=True,
    metavar="FILE",
    help="The configuration file (or MAILWRIGHT_CONFIG).",
)

LARGEST: Final = 2**63 - 1  # what a database counts to

json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON, for scripts.")


class Number(click.ParamType[int]):
    """A number from 1 to what a database counts to."""

    name = "number"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if not text.isascii() or not text.isdigit() or len(text) > 19 or not 1 <= int(text) <= LARGEST:
            self.fail(f"{text!r} is no number from 1 to {LARGEST}", param, ctx)
        return int(text)


def with_config(command: F) -> Callable[..., Any]:
    """Give the command `config`, read from the file that --config names."""

    @config_path_option
    @functools.wraps(command)
    def run(*args: Any, config_path: Path, **kwargs: Any) -> Any:
        from mailwright.config import load

        return command(*args, config=load(config_path), **kwargs)

    return run
