"""The command `mailwright`: one file per command, loaded when it is called."""

from __future__ import annotations

from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process and exit."""
    from mailwright.cli.root import root

    root(prog_name="mailwright")
    raise SystemExit(0)
