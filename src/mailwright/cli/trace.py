"""`mailwright trace`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mailwright.cli.options import LARGEST, Number, json_option, with_config
from mailwright.cli.output import echo_json, fail, say, tell

if TYPE_CHECKING:
    from mailwright.config import Config


@click.command()
@click.argument("what", metavar="MESSAGE-ID|ID|ADDRESS")
@click.option("--lines", is_flag=True, help="Show the SMTP lines of each attempt as well.")
@click.option(
    "--limit", type=Number(), default=10, show_default=True, metavar="N", help="At most so many messages."
)
@json_option
@with_config
def trace(config: Config, what: str, lines: bool, limit: int, as_json: bool) -> None:
    """Tell what became of a message, step by step, and why; also why one was refused.

    ID is the one in our reply to the sender, or a queue id. Times are in UTC.

    \b
    Examples:
      mailwright trace '<abc@example.org>'
      mailwright trace bob@elsewhere.example --lines
      mailwright trace 5f1d08c2100
    """
    from mailwright.cli.opening import read
    from mailwright.delivery import story

    told = read(config, story.find, what, min(limit + 1, LARGEST))
    if not told:
        days = config.queue.keep_traces / 86_400
        fail(f"nothing is known of {what}; records are kept for {days:g} days, as long as there is room")
    if len(told) > limit:
        say(f"only the latest {limit}; `--limit N` tells of up to N", error=True)
        told = told[:limit]
    if as_json:
        echo_json([story.to_json(one) for one in told])
    else:
        tell("\n".join(story.tell(one, lines=lines) for one in told))
