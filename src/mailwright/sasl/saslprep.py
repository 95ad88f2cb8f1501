"""Preparing user names and passwords for comparison (RFC 4013, on Unicode 3.2 as RFC 3454 asks)."""

from __future__ import annotations

import stringprep
from unicodedata import ucd_3_2_0


class ProhibitedText(ValueError):
    """A text that SASLprep forbids; the message names the character."""


def saslprep(text: str) -> str:
    """`text` mapped, normalised and checked. Raises ProhibitedText (RFC 4013 2.3, 2.4).

    Code points that Unicode 3.2 does not know (emoji, say) pass as they are, as in queries (RFC 3454 7).
    """
    if text.isascii() and text.isprintable():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char for char in text if not stringprep.in_table_b1(char)
    )
    prepared = ucd_3_2_0.normalize("NFKC", mapped)
    for char in prepared:
        if _is_prohibited(char):
            raise ProhibitedText(f"U+{ord(char):04X} is not allowed here")
    _check_bidi(prepared)
    return prepared


def prepare_password(text: str) -> str:
    """The form of a password that is hashed and compared: SASLprep, or the text itself where that forbids it.

    The fallback lets people with odd passwords log in by PLAIN, as they did elsewhere.
    """
    try:
        return saslprep(text)
    except ProhibitedText:
        return text


def _is_prohibited(char: str) -> bool:
    return (
        stringprep.in_table_c12(char)
        or stringprep.in_table_c21_c22(char)
        or stringprep.in_table_c3(char)
        or stringprep.in_table_c4(char)
        or stringprep.in_table_c5(char)
        or stringprep.in_table_c6(char)
        or stringprep.in_table_c7(char)
        or stringprep.in_table_c8(char)
        or stringprep.in_table_c9(char)
    )


def _check_bidi(text: str) -> None:
    """RFC 3454 6: right-to-left text stands alone, and begins and ends with right-to-left characters."""
    if not any(stringprep.in_table_d1(char) for char in text):
        return
    if any(stringprep.in_table_d2(char) for char in text):
        raise ProhibitedText("left-to-right and right-to-left characters are mixed")
    if not (stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])):
        raise ProhibitedText("right-to-left text must begin and end with a right-to-left character")
