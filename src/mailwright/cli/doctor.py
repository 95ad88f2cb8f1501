"""`mailwright doctor`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from mailwright.cli.checks import Check, Level
from mailwright.cli.exits import Exit
from mailwright.cli.options import json_option, with_config
from mailwright.cli.output import counted, echo_json

if TYPE_CHECKING:
    from mailwright.config import Config

_MARKS = {Level.OK: ("ok", "green"), Level.WARNING: ("warning", "yellow"), Level.WRONG: ("WRONG", "red")}


@click.command()
@click.option("--offline", is_flag=True, help="Ask no DNS.")
@click.option("--deep", is_flag=True, help="Read the whole store, not only its counts.")
@json_option
@with_config
def doctor(config: Config, offline: bool, deep: bool, as_json: bool) -> None:
    """Check configuration, data folder, certificate, store, keys, hooks, ports and DNS; say how to mend what is wrong.

    Ends with 0 when nothing is wrong (there may be warnings), else with 1.
    """
    found: list[Check] = []
    for check in _all(config, offline, deep):
        found.append(check)
        if not as_json:
            mark, colour = _MARKS[check.level]
            click.echo(f"{click.style(f'{mark:8}', fg=colour)}{check.what}: {check.text}")
            if check.remedy:
                click.echo(f"{'':8}-> {check.remedy}")
    wrong = sum(check.level is Level.WRONG for check in found)
    if as_json:
        echo_json([{**check._asdict(), "level": check.level.value} for check in found])
    else:
        warnings = sum(check.level is Level.WARNING for check in found)
        click.echo(f"\n{counted(len(found), 'check')}, {wrong} wrong, {counted(warnings, 'warning')}.")
    if wrong:
        raise SystemExit(int(Exit.FAILED))


def _all(config: Config, offline: bool, deep: bool) -> Iterator[Check]:
    from mailwright.cli import checks

    yield Check("configuration", Level.OK, "every setting is known and fits")
    steps: dict[str, Callable[[], list[Check]]] = {
        "data folder": lambda: checks.data_folder(config),
        "certificate": lambda: checks.certificate(config),
        "store": lambda: checks.store(config, deep),
        "sending": lambda: checks.sending(config),
        "hooks": lambda: checks.hooks(config),
        "ports": lambda: checks.ports(config),
    }
    if not offline:
        steps["DNS"] = lambda: asyncio.run(checks.dns(config, checks.domains_of(config)))
    for what, step in steps.items():
        try:
            found = step()
        except PermissionError as error:
            remedy = "run this as the user of the server"
            found = [Check(what, Level.WRONG, f"this user may not use {error.filename}", remedy)]
        yield from found
