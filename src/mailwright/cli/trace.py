"""`mailwright trace`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mailwright.cli.options import json_option, with_config
from mailwright.cli.output import echo_json, fail

if TYPE_CHECKING:
    from mailwright.config import Config


@click.command()
@click.argument("what", metavar="MESSAGE-ID|QUEUE-ID|ADDRESS")
@click.option("--lines", is_flag=True, help="Show the SMTP lines of each attempt as well.")
@click.option(
    "--limit", type=click.IntRange(1), default=10, show_default=True, help="At most so many messages."
)
@json_option
@with_config
def trace(config: Config, what: str, lines: bool, limit: int, as_json: bool) -> None:
    """Tell what became of a message, step by step, and why.

    \b
    Examples:
      mailwright trace '<abc@example.org>'
      mailwright trace bob@elsewhere.example --lines
    """
    from mailwright.cli.opening import read
    from mailwright.queue import trace as records
    from mailwright.store.db.api import Transaction

    def find(tx: Transaction) -> list[records.Record]:
        found = (records.read(tx, number) for number in records.find(tx, what, limit))
        return [record for record in found if record is not None]

    told = read(config, find)
    if not told:
        fail(f"nothing is known of {what}; records are kept for {config.queue.keep_traces / 86_400:g} days")
    if as_json:
        echo_json([records.to_json(record) for record in told])
    else:
        click.echo("\n".join(records.tell(record, lines=lines) for record in told))
