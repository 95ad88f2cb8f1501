"""The two kinds of signing keys, and the TXT record that publishes one (RFC 6376 3.6.1, RFC 8463)."""

from __future__ import annotations

import base64
from typing import Final, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key

RSA_SHA256: Final = "rsa-sha256"
ED25519_SHA256: Final = "ed25519-sha256"
MIN_RSA_BITS: Final = 1024  # RFC 8301 3.2, for verifying
SIGNING_RSA_BITS: Final = 2048

PrivateKey: TypeAlias = RSAPrivateKey | Ed25519PrivateKey
PublicKey: TypeAlias = RSAPublicKey | Ed25519PublicKey


class InvalidKey(ValueError):
    """Not a key that can sign; the message says what it must be."""


def generate_key(algorithm: str, rsa_bits: int = SIGNING_RSA_BITS) -> PrivateKey:
    """A new key for `rsa-sha256` (slow: about a tenth of a second) or `ed25519-sha256`."""
    if algorithm == ED25519_SHA256:
        return Ed25519PrivateKey.generate()
    if algorithm == RSA_SHA256:
        return generate_private_key(public_exponent=65537, key_size=rsa_bits)
    raise InvalidKey(f"{algorithm!r} is no DKIM algorithm; use {RSA_SHA256} or {ED25519_SHA256}")


def load_private_key(data: bytes) -> PrivateKey:
    """A key from PEM without a passphrase (PKCS#8, or RSA's own). Takes milliseconds: keep the result.

    Raises InvalidKey.
    """
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidKey(f"not a private key in PEM without a passphrase: {error}") from error
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise InvalidKey("DKIM needs an RSA or an Ed25519 key")
    if isinstance(key, RSAPrivateKey) and key.key_size < MIN_RSA_BITS:
        raise InvalidKey(f"an RSA key of {key.key_size} bits is too weak; make one of {SIGNING_RSA_BITS}")
    return key


def dump_private_key(key: PrivateKey) -> bytes:
    """The key as PKCS#8 PEM, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def record_text(key: PrivateKey | PublicKey) -> str:
    """The text of the TXT record at `selector._domainkey.domain`."""
    public = key.public_key() if isinstance(key, RSAPrivateKey | Ed25519PrivateKey) else key
    if isinstance(public, Ed25519PublicKey):
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        kind = "ed25519"  # RFC 8463 4: the bare key, not a SubjectPublicKeyInfo
    else:
        raw = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        kind = "rsa"
    return f"v=DKIM1; k={kind}; p={base64.b64encode(raw).decode()}"


def record_strings(text: str) -> list[str]:
    """The text in strings of at most 255 octets, as a TXT record holds it (RFC 1035 3.3.14)."""
    return [text[start : start + 255] for start in range(0, len(text), 255)]


def zone_line(domain: str, selector: str, key: PrivateKey | PublicKey) -> str:
    """The record as a line of a zone file."""
    strings = " ".join(f'"{string}"' for string in record_strings(record_text(key)))
    return f"{selector}._domainkey.{domain}. IN TXT ( {strings} )"
