"""The Date field (RFC 5322 3.3, 4.3) as it comes, and dates as mail writes them. No clock in here."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTH_NUMBER: Final = {name.lower().encode(): number for number, name in enumerate(_MONTHS, 1)}
_MONTH_DAYS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DAYS_BEFORE: Final = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)
_ZONES: Final = {
    b"UT": 0, b"GMT": 0, b"UTC": 0, b"Z": 0, b"EST": -300, b"EDT": -240, b"CST": -360, b"CDT": -300, b"MST": -420,
    b"MDT": -360, b"PST": -480, b"PDT": -420, b"BST": 60, b"WET": 0, b"WEST": 60, b"MET": 60, b"MEST": 120,
    b"CET": 60, b"CEST": 120, b"EET": 120, b"EEST": 180, b"MSK": 180, b"JST": 540, b"KST": 540, b"HKT": 480,
}  # fmt: skip

_TIME: Final = rb"(\d{1,2}+)[:.](\d{1,2}+)(?:[:.](\d{1,2}+)(?:[.,]\d++)?)?(?:\s*+([AaPp])\.?+[Mm]\b\.?+)?"
_USUAL: Final = re.compile(
    rb"\s*+(?:[A-Za-z\x80-\xff]++\.?+\s*+,?+\s*+)?(\d{1,2}+)[\s.-]++([A-Za-z]{3})[a-z]*+\.?,?[\s.-]++(\d{2,4}+)(?![\d.:])"
    rb"(?:[\s,]++(?:at\s++)?" + _TIME + rb")?(?:\s*+([+-])(\d{2})(\d{2})(?!\d))?"
)
_ASCTIME: Final = re.compile(
    rb"\s*(?:[A-Za-z]{3,9},?\s+)?([A-Za-z]{3})[a-z]*\.?\s+(\d{1,2}),?\s+(?:(\d{4})\s+)?" + _TIME
)
_ISO: Final = re.compile(
    rb"\s*(?:[A-Za-z]{3,9},?\s+)?(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:[T\s]+" + _TIME + rb")?"
)
_OFFSET: Final = re.compile(
    rb"\s*(?:GMT|UTC|UT)?\s*([+-])\s*(\d{1,2})(?::?(\d{2}))?(?!\d)|\s*\(?([A-Za-z]{1,5})(?![A-Za-z])"
)
_YEAR: Final = re.compile(rb"(?<![\d+-])(\d{4})\b")
_PAREN: Final = 40
_COLON: Final = 58
_COMMENT: Final = re.compile(rb"\([^()]*\)")


def parse_date(raw: bytes) -> tuple[int, int] | None:
    """(seconds since the epoch, zone in minutes east) of a Date field's value; None when it says no date.

    Beside RFC 5322 with its obsolete forms it takes what senders write: long names, missing seconds or zones (UTC),
    ISO 8601, asctime, `GMT+0100`, 12-hour clocks. A leap second counts as the second before. A time
    that is missing or cannot be is midnight (RFC 5256 2.2).
    """
    raw = raw[:256]
    if _PAREN in raw and _COLON in raw:
        raw = _COMMENT.sub(lambda found: b" " if found.start() < raw.rfind(b":") else found.group(), raw)
    match = _USUAL.match(raw)
    if match is not None:
        day, name, year, hour, minute, second, half, sign, hours, minutes = match.groups()
        zone = _zone(raw, match.end()) if sign is None else _minutes(sign, hours, minutes)
        return _date(_year(year), _MONTH_NUMBER.get(name.lower(), 0), day, hour, minute, second, half, zone)
    match = _ISO.match(raw)
    if match is not None:
        year, month, day, hour, minute, second, half = match.groups()
        zone = _zone(raw, match.end())
        return _date(int(year), int(month), day, hour, minute, second, half, zone)
    match = _ASCTIME.match(raw)
    if match is None:
        return None
    name, day, year, hour, minute, second, half = match.groups()
    end = match.end()
    if year is None:
        later = _YEAR.search(raw, end)
        if later is None:
            return None
        year = later.group(1)
        raw = raw[: later.start()] + raw[later.end() :]
    zone = _zone(raw, end)
    return _date(int(year), _MONTH_NUMBER.get(name.lower(), 0), day, hour, minute, second, half, zone)


def _year(digits: bytes) -> int:
    year = int(digits)
    if len(digits) == 4:
        return year
    return year + (2000 if year < 50 and len(digits) == 2 else 1900)  # RFC 5322 4.3


def _date(
    year: int, month: int, day: bytes, hour: bytes | None, minute: bytes | None, second: bytes | None,
    half: bytes | None, zone: int,
) -> tuple[int, int] | None:  # fmt: skip
    hours = int(hour or b"0")
    if half is not None and 1 <= hours <= 12:
        hours = hours % 12 + (12 if half in b"pP" else 0)
    days = _days(year, month, int(day))
    minutes, seconds = int(minute or b"0"), min(int(second or b"0"), 59)
    if days is None:
        return None
    if hours > 24 or minutes > 59 or (hours == 24 and (minutes or seconds)):
        hours = minutes = seconds = 0
    return ((days * 24 + hours) * 60 + minutes - zone) * 60 + seconds, zone


def _days(year: int, month: int, day: int) -> int | None:
    """Days from the epoch to a day of the Gregorian calendar, None when there is no such day."""
    if not (1 <= month <= 12 and 1 <= day <= _MONTH_DAYS[month - 1] and year > 0):
        return None
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if month == 2 and day == 29 and not leap:
        return None
    before = year - 1
    past = before * 365 + before // 4 - before // 100 + before // 400 - 719_162
    return past + _DAYS_BEFORE[month - 1] + (1 if leap and month > 2 else 0) + day - 1


def _zone(raw: bytes, at: int) -> int:
    match = _OFFSET.match(raw, at)
    if match is None:
        return 0
    sign, hours, minutes, name = match.groups()
    if sign is None:
        return _ZONES.get(name.upper(), 0)  # unknown and military letters mean -0000 (RFC 5322 4.3)
    return _minutes(sign, hours, minutes or b"0")


def _minutes(sign: bytes, hours: bytes, minutes: bytes) -> int:
    zone = int(hours) * 60 + int(minutes)
    if zone > 1440 or int(minutes) > 59:
        return 0
    return zone if sign == b"+" else -zone


def _local(seconds: int, zone: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, minutes=zone)


def _offset(zone: int) -> str:
    return f"{'-' if zone < 0 else '+'}{abs(zone) // 60:02d}{abs(zone) % 60:02d}"


def format_date(seconds: int, zone: int = 0) -> str:
    """`Thu, 13 Feb 1969 23:32:54 -0330` (RFC 5322 3.3); `zone` in minutes east. Raises OverflowError past 9999."""
    at = _local(seconds, zone)
    day, month = _DAYS[at.weekday()], _MONTHS[at.month - 1]
    return (
        f"{day}, {at.day} {month} {at.year:04d} {at.hour:02d}:{at.minute:02d}:{at.second:02d} {_offset(zone)}"
    )


def format_internal_date(seconds: int, zone: int = 0) -> str:
    """`17-Jul-1996 02:44:25 -0700` (RFC 9051 date-time), the day filled with a space; without quotes."""
    at = _local(seconds, zone)
    month = _MONTHS[at.month - 1]
    return f"{at.day:2d}-{month}-{at.year:04d} {at.hour:02d}:{at.minute:02d}:{at.second:02d} {_offset(zone)}"
