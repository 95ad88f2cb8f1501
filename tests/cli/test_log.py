"""The log as text: one line for each record, whatever a peer said."""

from __future__ import annotations

import logging

import pytest

from mailwright.cli.running import _TextFormatter


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("用户@例子.中国 ü", "用户@例子.中国 ü"),
        ("a\r\nb", r"a\r\nb"),
        ("\x1b[31m\x9b31m", r"\x1b[31m\x9b31m"),
        ("a\x85b\u2028c\u202ed", r"a\x85b\u2028c\u202ed"),
    ],
)
def test_what_a_peer_says_forges_no_line_and_drives_no_terminal(said: str, written: str) -> None:
    record = logging.LogRecord("mailwright.smtp", logging.INFO, "", 0, "RCPT <%s>", (said,), None)
    assert _TextFormatter().format(record).endswith(f" info    smtp: RCPT <{written}>")
