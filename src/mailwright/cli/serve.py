"""`mailwright serve`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import click

from mailwright.cli.options import with_config

if TYPE_CHECKING:
    from mailwright.app.server import App
    from mailwright.config import Config


@click.command()
@with_config
def serve(config: Config) -> None:
    """Run the server until SIGINT or SIGTERM.

    It stops cleanly: clients are told, what was accepted is kept. The log goes to standard error.
    """
    from mailwright.cli.running import run_server, set_up_log

    set_up_log(config.log)

    async def ready(app: App) -> None:
        logging.getLogger("mailwright").info("ready")

    run_server(config, ready)
