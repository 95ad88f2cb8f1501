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

    from mailwright.directory.domains import list_domains

    log = logging.getLogger("mailwright")

    async def ready(app: App) -> None:
        if not await app.store.read(list_domains):
            log.warning(
                "no domain is set up in %s, so all mail is put off: add one with `mailwright domain add`,"
                " or see that the disk with the data is mounted",
                config.server.data,
            )
        log.info("ready")

    run_server(config, ready)
