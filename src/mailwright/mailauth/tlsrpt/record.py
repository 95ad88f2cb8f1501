"""The TXT record that says where reports are wanted (RFC 8460 3)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote, urlsplit

from mailwright.base.domain import InvalidDomain, to_ascii

MAX_DESTINATIONS: Final = 8

_VERSION: Final = re.compile(rb"v=TLSRPTv1[ \t]*(?:;|\Z)")
_LOCAL_PART: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}\Z")
_URL: Final = re.compile(r"https://[\x21-\x7e]{1,1000}\Z", re.IGNORECASE)


def record_name(domain: str) -> str:
    """Where the record of a domain is."""
    return f"_smtp._tls.{domain}"


def parse_records(texts: Iterable[bytes]) -> tuple[str, ...]:
    """Where to send reports, out of all TXT records at the name: `mailto:local@domain` and `https://...`.

    Records of other kinds are passed over; more than one of this kind count as none. A destination that is
    neither kind, or malformed, is passed over. Whether an https host is one of ours is not looked at.
    """
    ours = [text for text in texts if _VERSION.match(text)]
    if len(ours) != 1:
        return ()
    for field in ours[0].decode("ascii", "replace").split(";")[1:]:
        key, _, value = field.partition("=")
        if key.strip(" \t") == "rua":
            found = [
                _parse_destination(item.strip(" \t")) for item in value.split(",")[: 4 * MAX_DESTINATIONS]
            ]
            return tuple(dict.fromkeys(item for item in found if item))[:MAX_DESTINATIONS]
    return ()


def _parse_destination(uri: str) -> str:
    """The destination in one form, or '' when it is none."""
    scheme = uri.partition(":")[0].lower()
    try:
        if scheme == "mailto":
            local, _, domain = unquote(uri[7:].partition("?")[0], errors="strict").rpartition("@")
            return f"mailto:{local}@{to_ascii(domain)}" if _LOCAL_PART.match(local) else ""
        if scheme == "https" and _URL.match(uri):
            parts = urlsplit(uri)
            if parts.username is None and parts.port != 0 and to_ascii(parts.hostname or ""):
                return uri
    except (InvalidDomain, ValueError):
        return ""
    return ""
