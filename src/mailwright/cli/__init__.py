"""The command `mailwright`: one file per command, loaded when it is called."""

from __future__ import annotations


def main() -> None:
    """Run the command line of this process and exit."""
    import signal

    catches = (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )  # unless whoever called ignores it
    if catches:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is begun yet that would have to be ended

    import gc
    import io
    import os
    import sys

    gc.set_threshold(20_000, 20, 20)  # what a command loads stays: to look for garbage in it takes longer

    from mailwright.cli.root import root

    if sys.stdin is None:  # closed by whoever called: nobody is there to ask, and there is nothing to read
        sys.stdin = open(os.devnull)  # noqa: SIM115
    elif isinstance(sys.stdin, io.TextIOWrapper):  # what is no text is told as that of the command line is
        sys.stdin.reconfigure(errors="surrogateescape")
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that lacks a letter shows its number
        sys.stdout.reconfigure(errors="backslashreplace")
    if catches:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    root(prog_name="mailwright")
