"""The TXT record that says a policy exists (RFC 8461 3.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_FIELD: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31})=([\x21-\x3a\x3c\x3e-\x7e]+)\Z")
_ID: Final = re.compile(r"[A-Za-z0-9]{1,32}\Z")


def record_name(domain: str) -> str:
    """Where the record of a policy domain is."""
    return f"_mta-sts.{domain}"


def parse_records(texts: Iterable[bytes]) -> str | None:
    """The policy's id out of all TXT records at the name; None when they announce no policy.

    Records of other kinds are passed over; more than one of this kind, or a malformed one, count as none.
    """
    ours = [
        text for text in texts if text.startswith(b"v=STSv1") and text[7:].lstrip(b" \t")[:1] in (b";", b"")
    ]
    return _parse(ours[0]) if len(ours) == 1 else None


def _parse(text: bytes) -> str | None:
    fields = text.decode("ascii", "replace").split(";")[1:]
    if fields and not fields[-1].strip(" \t"):
        fields.pop()
    found: str | None = None
    for field in fields:
        match = _FIELD.match(field.strip(" \t"))
        if match is None:
            return None
        if match[1] == "id" and found is None:
            found = match[2]
    return found if found is not None and _ID.match(found) else None
