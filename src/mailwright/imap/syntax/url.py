"""IMAP URLs of messages and their parts (RFC 5092), with what authorises them (RFC 4467)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from mailwright.imap.syntax.fetch import Section, parse_section
from mailwright.imap.syntax.lexer import MAX_NUMBER, MAX_NUMBER64, BadSyntax
from mailwright.imap.syntax.mailbox import normal_name

MAX_URL: Final = 8000  # octets

_PATH: Final = re.compile(
    rb"([^;?#]*?)(?:;UIDVALIDITY=([1-9][0-9]{0,9}))?/?;UID=([1-9][0-9]{0,9})"
    rb"(?:/?;SECTION=([^;?#]*?))?(?:/?;PARTIAL=([0-9]{1,19})(?:\.([1-9][0-9]{0,18}))?)?/?",
    re.IGNORECASE,
)
_AUTH: Final = re.compile(
    rb"(?:;EXPIRE=([^;/]*))?;URLAUTH=([A-Za-z]+(?:\+[^:;/?#]*)?)(?::([A-Za-z0-9._-]+):([0-9A-Fa-f]+))?\Z",
    re.IGNORECASE,
)
_EXPIRE: Final = re.compile(
    rb"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]+)?(?:Z|([+-])([0-9]{2}):([0-9]{2}))",
    re.IGNORECASE,
)


class BadUrl(ValueError):
    """Octets that name no message; the text says why."""


class ImapUrl(NamedTuple):
    """`host` is '' in a relative URL; `mailbox` None means the selected one.

    `expires`, in seconds since the epoch, to `token` are those of URLAUTH; `rump` is all that they authorise.
    """

    user: str
    host: str
    mailbox: str | None
    uidvalidity: int  # 0: any
    uid: int
    section: Section
    expires: int | None = None
    access: str = ""
    mechanism: str = ""
    token: str = ""
    rump: bytes = b""

    @property
    def address(self) -> str:
        """Whose mailbox it is: the user, who may be called by what stands before the `@` of the host alone."""
        return self.user if "@" in self.user else f"{self.user}@{self.host}"


def parse_url(raw: bytes) -> ImapUrl:
    """Raises BadUrl."""
    if len(raw) > MAX_URL:
        raise BadUrl(f"a URL has at most {MAX_URL} octets")
    user = host = b""
    rest = raw
    if raw[:7].lower() == b"imap://":
        authority, _, rest = raw[7:].partition(b"/")
        info, _, host = authority.rpartition(b"@")
        user = info.partition(b";")[0]
        if not host:
            raise BadUrl("the URL names no server")
    elif b"://" in raw[:20] or raw.startswith(b"//"):
        raise BadUrl("only imap:// URLs can be read")
    rest = rest.removeprefix(b"/")
    auth = _AUTH.search(rest)
    path = _PATH.fullmatch(rest if auth is None else rest[: auth.start()])
    if path is None:
        raise BadUrl("the URL names no message")
    name, uidvalidity, uid, section, start, count = path.groups()
    url = ImapUrl(
        _text(user),
        _text(host).lower(),
        normal_name(_text(name)) if name else None,
        int(uidvalidity or 0),
        int(uid),
        _section(section, start, count),
    )
    if url.uid > MAX_NUMBER:
        raise BadUrl("no message has this UID")
    return url if auth is None else _authorised(url, raw, auth)


def _section(raw: bytes | None, start: bytes | None, count: bytes | None) -> Section:
    try:
        section = parse_section(unquote_to_bytes(raw)) if raw else Section()
    except BadSyntax as error:
        raise BadUrl(f"the section in the URL is wrong: {error.text}") from None
    if start is None:
        return section
    return section._replace(partial=(int(start), int(count) if count else MAX_NUMBER64))


def _authorised(url: ImapUrl, raw: bytes, auth: re.Match[bytes]) -> ImapUrl:
    expire, access, mechanism, token = auth.groups()
    end = len(raw) if mechanism is None else len(raw) - len(mechanism) - len(token) - 2
    return url._replace(
        expires=None if expire is None else parse_expire(unquote_to_bytes(expire)),
        access=_text(access),
        mechanism=(mechanism or b"").decode("ascii").upper(),
        token=(token or b"").decode("ascii").lower(),
        rump=raw[:end],
    )


def parse_expire(text: bytes) -> int:
    """RFC 3339 time as seconds since the epoch. Raises BadUrl."""
    found = _EXPIRE.fullmatch(text)
    if found is None:
        raise BadUrl("EXPIRE needs a time such as 2026-02-01T10:00:00Z")
    year, month, day, hour, minute, second = (int(number) for number in found.groups()[:6])
    if not (year and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 61):
        raise BadUrl("EXPIRE names no time")
    sign, hours, minutes = found.groups()[6:]
    offset = (int(hours) * 60 + int(minutes)) * 60 if sign else 0
    seconds = _days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second
    return seconds - offset if sign == b"+" else seconds + offset


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 of a day in the Gregorian calendar."""
    year -= month <= 2
    years = year % 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return (year // 400) * 146097 + years * 365 + years // 4 - years // 100 + of_year - 719468


def _text(raw: bytes) -> str:
    try:
        return unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise BadUrl("the URL holds octets that are not UTF-8") from None
