"""Which TLSA records count for SMTP, and what one of them matches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import Certificate

from mailwright.dns.api import TLSA

DANE_TA: Final = 2
DANE_EE: Final = 3
_CERTIFICATE: Final = 0  # selectors
_PUBLIC_KEY: Final = 1
_FULL: Final = 0  # matching types
_SHA256: Final = 1
_SHA512: Final = 2

MAX_RECORDS: Final = 32  # looked at; a domain that rolls keys over has four


def usable_records(records: Iterable[TLSA]) -> tuple[TLSA, ...]:
    """The records that SMTP may use (RFC 7672 3.1), of several digests only the strongest (RFC 7671 9)."""
    sound = [record for record in list(records)[:MAX_RECORDS] if _is_sound(record)]
    strongest: dict[tuple[int, int], int] = {}
    for record in sound:
        key = (record.usage, record.selector)
        strongest[key] = max(strongest.get(key, _FULL), record.matching)
    return tuple(
        record for record in sound if record.matching in (_FULL, strongest[record.usage, record.selector])
    )


def _is_sound(record: TLSA) -> bool:
    if record.usage not in (DANE_TA, DANE_EE) or record.selector not in (_CERTIFICATE, _PUBLIC_KEY):
        return False
    sizes = {_SHA256: 32, _SHA512: 64}
    if record.matching == _FULL:
        return len(record.data) > 0
    return len(record.data) == sizes.get(record.matching)


def matches(record: TLSA, certificate: Certificate) -> bool:
    """Whether a sound record speaks of this certificate (RFC 6698 2.1). ValueError for an odd key."""
    if record.selector == _CERTIFICATE:
        selected = certificate.public_bytes(Encoding.DER)
    else:
        selected = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if record.matching == _SHA256:
        selected = hashlib.sha256(selected).digest()
    elif record.matching == _SHA512:
        selected = hashlib.sha512(selected).digest()
    return selected == record.data
