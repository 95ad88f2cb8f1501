"""The command `mailwright`: one file per command, loaded when it is called."""

from __future__ import annotations

from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process and exit."""
    import gc
    import io
    import os
    import sys

    gc.set_threshold(20_000, 20, 20)  # what a command loads stays: to look for garbage in it takes longer

    from mailwright.cli.root import root

    if sys.stdin is None:  # closed by whoever called: nobody is there to ask, and there is nothing to read
        sys.stdin = open(os.devnull)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that lacks a letter shows its number
        sys.stdout.reconfigure(errors="backslashreplace")
    root(prog_name="mailwright")
    raise SystemExit(0)
