"""What the exit code of a command tells."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Exit(IntEnum):
    """Exit codes, the same for all commands."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIG = 3
    TEMPORARY = 4
    INTERRUPTED = 130


MEANING: Final = {
    Exit.OK: "Done.",
    Exit.FAILED: "Not done; the message says why. From `doctor`: something needs mending.",
    Exit.USAGE: "The command line is wrong; the message says what is expected.",
    Exit.CONFIG: "The configuration is missing or wrong; each mistake is named with its line.",
    Exit.TEMPORARY: "Not now: the store is busy, full or out of reach. Nothing was changed; try again.",
    Exit.INTERRUPTED: "Ended by Ctrl-C.",
}
