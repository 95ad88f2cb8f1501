"""Key records, from `selector._domainkey.domain` (RFC 6376 3.6.1)."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mailwright.mailauth.dkim.key import PublicKey
from mailwright.mailauth.dkim.tags import InvalidTags, decode_base64, parse_tags, split_list


@dataclass(frozen=True)
class KeyRecord:
    """A published key and what it may be used for."""

    key: PublicKey | None  # None: revoked
    kind: str  # rsa, ed25519
    hashes: tuple[str, ...]  # acceptable ones; empty means all
    for_email: bool
    is_testing: bool  # t=y
    is_strict: bool  # t=s: i= must be the domain itself


def parse_key_record(data: bytes) -> KeyRecord:
    """A TXT record as a key. Raises InvalidTags. The tags g= and n= are ignored."""
    tags = parse_tags(data)
    if "v" in tags and (tags["v"] != "DKIM1" or next(iter(tags)) != "v"):
        raise InvalidTags("v= is not DKIM1, or not in front")
    if "p" not in tags:
        raise InvalidTags("p= is missing")
    kind = tags.get("k", "rsa")
    flags = split_list(tags.get("t", ""))
    services = split_list(tags.get("s", "*"))
    return KeyRecord(
        key=_load_key(kind, decode_base64("p", tags["p"])),
        kind=kind,
        hashes=tuple(split_list(tags["h"])) if "h" in tags else (),
        for_email="*" in services or "email" in services,
        is_testing="y" in flags,
        is_strict="s" in flags,
    )


def _load_key(kind: str, data: bytes) -> PublicKey | None:
    if not data:
        return None
    try:
        if kind == "ed25519":
            return Ed25519PublicKey.from_public_bytes(data)
        if kind == "rsa":
            key = load_der_public_key(data)
            if isinstance(key, RSAPublicKey):
                return key
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidTags(f"p= is no {kind} key") from error
    raise InvalidTags(f"p= is no key of kind {kind[:20]!r}")
