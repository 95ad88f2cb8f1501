"""Dates of commands and responses: `date` and `date-time` of RFC 3501 9."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from mailwright.imap.syntax.lexer import BadSyntax, Lexer

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBER: Final = {name.upper().encode("ascii"): number for number, name in enumerate(_MONTHS, 1)}
_DATE: Final = re.compile(rb'"?([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})"?')
_DATE_TIME: Final = re.compile(
    rb'"([ 0-9][0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})"'
)
EPOCH_DAY: Final = date(1970, 1, 1).toordinal()


def parse_date(lexer: Lexer) -> int:
    """A day, as the number of days since 1970-01-01."""
    found = _DATE.match(lexer.text, lexer.pos)
    if found is None:
        raise BadSyntax(f"expected a date such as 1-Feb-2026 {lexer.where()}")
    lexer.pos = found.end()
    return _days(found.group(3), found.group(2), found.group(1))


def parse_date_time(lexer: Lexer) -> int:
    """Seconds since the epoch, UTC."""
    found = _DATE_TIME.match(lexer.text, lexer.pos)
    if found is None:
        raise BadSyntax(f'expected a date such as " 1-Feb-2026 10:00:00 +0000" {lexer.where()}')
    lexer.pos = found.end()
    day, month, year, hour, minute, second, sign, zone_hour, zone_minute = found.groups()
    seconds = int(hour) * 3600 + int(minute) * 60 + int(second)
    if int(hour) > 23 or int(minute) > 59 or int(second) > 60 or int(zone_minute) > 59:
        raise BadSyntax("Invalid time of day")
    offset = int(zone_hour) * 3600 + int(zone_minute) * 60
    return _days(year, month, day.strip()) * 86400 + seconds - (offset if sign == b"+" else -offset)


def _days(year: bytes, month: bytes, day: bytes) -> int:
    number = _MONTH_NUMBER.get(month.upper())
    if number is None:
        raise BadSyntax("Invalid month")
    try:
        return date(int(year), number, int(day)).toordinal() - EPOCH_DAY
    except ValueError:
        raise BadSyntax("No such day") from None


_day_text: Final[dict[int, bytes]] = {}
# Many times quicker than to format anew.
_MINUTES: Final = tuple([b"%02d:%02d:" % divmod(minute, 60) for minute in range(1440)])
_SECONDS: Final = tuple([b"%02d +0000" % second for second in range(60)])


def format_date_time(seconds: int) -> bytes:
    """`17-Jul-1996 02:44:25 +0000`, without quotes; the day is two characters, as `date-day-fixed` asks."""
    minutes = seconds // 60
    day = minutes // 1440
    text = _day_text.get(day)
    if text is None:
        text = _format_day(day)
        if len(_day_text) > 20_000:
            _day_text.clear()
        _day_text[day] = text
    return text + _MINUTES[minutes - day * 1440] + _SECONDS[seconds - minutes * 60]


def _format_day(day: int) -> bytes:
    # A date outside the calendar (a wrong clock) is shown as its nearest day.
    value = date.fromordinal(min(max(day + EPOCH_DAY, 1), date.max.toordinal()))
    return f"{value.day:2}-{_MONTHS[value.month - 1]}-{value.year:04} ".encode("ascii")
