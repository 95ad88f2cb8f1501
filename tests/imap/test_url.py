"""IMAP URLs (RFC 5092, RFC 4467)."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.imap.syntax.fetch import Section
from mailwright.imap.syntax.lexer import MAX_NUMBER64
from mailwright.imap.syntax.url import BadUrl, ImapUrl, parse_expire, parse_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (b"/INBOX;UID=3", ImapUrl("", "", "INBOX", 0, 3, Section())),
        (b"/inbox/;uid=3/", ImapUrl("", "", "INBOX", 0, 3, Section())),
        (b";UID=3/;SECTION=1.2", ImapUrl("", "", None, 0, 3, Section((1, 2)))),
        (b"/;UID=3;SECTION=HEADER", ImapUrl("", "", None, 0, 3, Section((), "HEADER"))),
        (b"Work/2026;UIDVALIDITY=7/;UID=3", ImapUrl("", "", "Work/2026", 7, 3, Section())),
        (b"/%E4%BD%A0/;UID=3/;PARTIAL=5.6", ImapUrl("", "", "你", 0, 3, Section(partial=(5, 6)))),
        (
            b"/a;UID=3/;SECTION=TEXT/;PARTIAL=5",
            ImapUrl("", "", "a", 0, 3, Section((), "TEXT", (), (5, MAX_NUMBER64))),
        ),
        (
            b"imap://ann%40example.org;AUTH=*@MAIL.example.org:143/a/;UID=3",
            ImapUrl("ann@example.org", "mail.example.org:143", "a", 0, 3, Section()),
        ),
        (
            b"/a;UID=3/;SECTION=HEADER.FIELDS%20(To%20Cc)",
            ImapUrl("", "", "a", 0, 3, Section((), "HEADER.FIELDS", (b"to", b"cc"))),
        ),
    ],
)
def test_urls(text: bytes, url: ImapUrl) -> None:
    assert parse_url(text) == url


def test_what_authorises() -> None:
    rump = b"imap://ann@mail.example.org/a/;UID=3;EXPIRE=2026-01-05T08:00:00Z;URLAUTH=user+bob%40example.org"
    url = parse_url(rump + b":INTERNAL:" + b"aB" * 16)
    assert (url.expires, url.access, url.mechanism) == (1_767_600_000, "user+bob@example.org", "INTERNAL")
    assert (url.token, url.rump) == ("ab" * 16, rump)
    unsigned = parse_url(rump)
    assert (unsigned.mechanism, unsigned.token, unsigned.rump) == ("", "", rump)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"/INBOX",
        b"/INBOX;UID=0",
        b"/INBOX;UID=4294967296",
        b"/INBOX;UID=x",
        b"http://www.example.org/;UID=1",
        b"//mail.example.org/INBOX;UID=1",
        b"imap:///INBOX;UID=1",
        b"/%FF;UID=1",
        b"/INBOX;UID=1/;SECTION=9999999999999",
        b"/INBOX;UID=1/;SECTION=BODY",
        b"/INBOX;UID=1/;SECTION=%5D",
        b"/INBOX;UID=1;EXPIRE=2026-02-30T25:00:00Z;URLAUTH=anonymous",
        b"/INBOX;UID=1?SUBJECT",
        b"/" + b"x" * 8000 + b";UID=1",
    ],
)
def test_what_names_no_message(text: bytes) -> None:
    with pytest.raises(BadUrl):
        parse_url(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b"1970-01-01T00:00:00Z", 0),
        (b"1970-01-01T01:30:00+01:30", 0),
        (b"2000-02-29T23:59:60Z", 951_868_800),
        (b"2026-01-05T07:00:00.123-01:00", 1_767_600_000),
        (b"0001-01-01T00:00:00Z", -62_135_596_800),
    ],
)
def test_expiry(text: bytes, seconds: int) -> None:
    assert parse_expire(text) == seconds


PIECES = st.sampled_from(
    [
        b"imap://", b"ann", b"@", b"host", b"/", b"INBOX", b";UID=", b"7", b";UIDVALIDITY=", b";SECTION=", b"1.2",
        b".MIME", b"TEXT", b";PARTIAL=", b"1.2", b";EXPIRE=", b"2026-01-05T08:00:00Z", b";URLAUTH=", b"anonymous",
        b"user+", b":", b"internal", b"ab12", b"%", b"%41", b"%FF", b"?", b"#", b" ", b"(", b")", b"\xff", b"\x00",
    ]
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(pieces=st.lists(PIECES, max_size=25))
def test_anything_is_a_url_or_is_not(pieces: list[bytes]) -> None:
    text = b"".join(pieces)
    try:
        url = parse_url(text)
    except BadUrl:
        return
    assert 0 < url.uid <= 0xFFFF_FFFF
    assert text.startswith(url.rump)


@pytest.mark.parametrize(
    "piece", [b"/", b";UID=", b";UID=1/;SECTION=", b";EXPIRE=", b";URLAUTH=a:", b"%", b"@", b";UIDVALIDITY=1"]
)
def test_hostile_urls_are_cheap(piece: bytes) -> None:
    text = b"/" + piece * (7900 // len(piece))
    before = time.process_time()
    with pytest.raises(BadUrl):
        parse_url(text)
    assert time.process_time() - before < 0.5
