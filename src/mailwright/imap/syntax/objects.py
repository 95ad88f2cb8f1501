"""Object identifiers (RFC 8474): a letter for the kind, then the number the store knows the thing by."""

from __future__ import annotations

import re
from typing import Final

_ID: Final = re.compile(r"[MT]([1-9][0-9]{0,18})")
MAX_ID: Final = 0x7FFF_FFFF_FFFF_FFFF
_MAILBOX_BITS: Final = 36  # as the store forms the ids of messages


def mailbox_id(account: int, mailbox: int) -> str:
    """MAILBOXID of a mailbox: its number within the account of its owner, made unique on the server."""
    return f"F{account << _MAILBOX_BITS | mailbox}"


def email_id(message: int) -> str:
    return f"M{message}"


def thread_id(thread: int) -> str:
    return f"T{thread}"


def parse_object_id(text: str, letter: str) -> int:
    """The number behind an EMAILID ('M') or THREADID ('T'); 0 for any other text, which no object has."""
    found = _ID.fullmatch(text)
    if found is None or text[0] != letter:
        return 0
    number = int(found.group(1))
    return number if number <= MAX_ID else 0
