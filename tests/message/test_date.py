"""Dates of RFC 5322, and of those who never read it."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime
from email.utils import parsedate_tz

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.message.date import format_date, format_internal_date, parse_date

NOON = calendar.timegm((2026, 11, 3, 12, 0, 0))


@pytest.mark.parametrize(
    ("raw", "zone"),
    [
        ("Tue, 3 Nov 2026 12:00:00 +0000", 0),
        ("3 Nov 2026 12:00:00 -0000", 0),
        ("Tue,  3 Nov 2026 13:00:00 +0100", 60),
        ("Tue, 03 Nov 2026 04:00:00 -0800 (PST)", -480),
        ("Tue, 3 Nov 2026 17:30 +0530", 330),
        ("Tue, 3 Nov 26 12:00:00 GMT", 0),
        ("Tue, 3 Nov 126 07:00:00 EST", -300),
        ("Tue, 3 Nov 2026 12:00:00", 0),
        ("Tue, 3 Nov 2026 12:00:00 Z", 0),
        ("Tue, 3 Nov 2026 12:00:00 Q", 0),
        ("Tue, 3 Nov 2026 13:00:00 GMT+0100", 60),
        ("Tue, 3 Nov 2026 13:00:00 +01:00", 60),
        ("Tue, 3 Nov 2026 12.00.00 +0000", 0),
        ("Tuesday, 3 November 2026 12:00:00 PM UTC", 0),
        ("Tue Nov  3 12:00:00 2026", 0),
        ("Tue Nov  3 07:00:00 EST 2026", -300),
        ("Tue Nov  3 20:00:00 +08 2026", 480),
        ("Tue Nov  3 20:00:00 +0800 2026", 480),
        ("Tue, 3 Nov 2026 20:00:00 UTC+8", 480),
        ("星期二, 3 Nov 2026 20:00:00 +0800", 480),
        ("Tue, Nov 3, 2026 12:00:00 +0000", 0),
        ("2026-11-03T12:00:00Z", 0),
        ("2026-11-03 13:00:00 +0100", 60),
        ("Tue, 2026-11-03 12:00:00.123", 0),
        ("3-Nov-2026 12:00:00 +0000", 0),
        ("Tue , (comment) 3 Nov 2026 12:00:00 +0000", 0),
        ("Tue,\r\n 3 Nov 2026\r\n 12:00:00 +0000", 0),
        ("Die, 3 Nov 2026 12:00:00 +0000", 0),
        ("Tue, 3 Nov 2026 12:00:00 +9999", 0),
        ("Tue, 3 Nov 2026 12:00:00 (no zone)", 0),
    ],
)
def test_dates(raw: str, zone: int) -> None:
    assert parse_date(raw.encode()) == (NOON, zone)


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "now",
        "Tue, 3 Foo 2026 12:00:00",
        "31 Feb 2026 12:00:00",
        "29 Feb 2025 12:00:00",
        "3 Nov 12:00:00",
        "3 Nov 20260 12:00:00",
        "0 Nov 2026 12:00",
        "3 Nov 0000 12:00:00",
        "2026-13-01 12:00:00",
        "\xff\xfe",
    ],
)
def test_texts_that_are_no_date(raw: str) -> None:
    assert parse_date(raw.encode("latin-1")) is None


@pytest.mark.parametrize("time", ["", " 25:00:00", " 12:61:00", " noon", " +0100", ", 24:00:01", " 12"])
def test_a_time_that_is_missing_or_cannot_be_is_midnight(time: str) -> None:
    found = parse_date(f"Tue, 3 Nov 2026{time}".encode())
    assert found is not None
    assert found[0] + found[1] * 60 == NOON - 12 * 3600
    assert parse_date(f"2026-11-03{time}".encode()) is not None


def test_years_before_the_epoch_and_leap_seconds() -> None:
    assert parse_date(b"Thu, 01 Jan 1970 00:00:00 +0000") == (0, 0)
    assert parse_date(b"Wed, 31 Dec 69 23:59:60 +0000") == (-1, 0)
    assert parse_date(b"29 Feb 2000 00:00:00 +0000") == (951_782_400, 0)


@given(st.integers(-2_000_000_000, 250_000_000_000), st.integers(-1439, 1439))
@settings(max_examples=200, deadline=None)
def test_what_is_written_reads_the_same(seconds: int, zone: int) -> None:
    text = format_date(seconds, zone)
    assert parse_date(text.encode()) == (seconds, zone)
    day, clock, offset = format_internal_date(seconds, zone).rsplit(" ", 2)
    assert len(day) == 11
    theirs = datetime.strptime(f"{day.strip()} {clock} {offset}", "%d-%b-%Y %H:%M:%S %z")
    assert theirs.timestamp() == seconds


@given(st.dates(min_value=datetime(1901, 1, 1).date()), st.times())
@settings(max_examples=100, deadline=None)
def test_the_standard_library_reads_the_same(day: datetime, clock: datetime) -> None:
    at = datetime(day.year, day.month, day.day, clock.hour, clock.minute, clock.second, tzinfo=UTC)
    raw = format_date(int(at.timestamp()))
    found = parsedate_tz(raw)
    assert found is not None
    assert parse_date(raw.encode()) == (int(at.timestamp()), 0)
    assert found[:6] == (at.year, at.month, at.day, at.hour, at.minute, at.second)


@given(
    st.binary(max_size=60) | st.text(alphabet="0123456789 :-+.,/TJanFeb()GMTPAm", max_size=50).map(str.encode)
)
@settings(max_examples=300, deadline=None)
def test_any_octets(raw: bytes) -> None:
    found = parse_date(raw)
    assert found is None or abs(found[1]) <= 1440


def test_formats() -> None:
    assert format_date(-27_723_426, -210) == "Thu, 13 Feb 1969 23:32:54 -0330"
    assert format_internal_date(837_596_665, -420) == "17-Jul-1996 02:44:25 -0700"
    assert format_internal_date(0) == " 1-Jan-1970 00:00:00 +0000"
