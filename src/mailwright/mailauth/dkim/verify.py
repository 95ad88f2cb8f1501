"""Verifying the signatures of a message (RFC 6376 6), with results in the words of RFC 8601 2.7.1."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from mailwright.dns.api import Answer, DNSTemporary, Record, Resolver
from mailwright.mailauth.dkim.canonical import (
    BodyHasher,
    canonical_field,
    canonical_headers,
    group_fields,
    split_fields,
)
from mailwright.mailauth.dkim.key import ED25519_SHA256, MIN_RSA_BITS, RSA_SHA256, PublicKey
from mailwright.mailauth.dkim.record import KeyRecord, parse_key_record
from mailwright.mailauth.dkim.signature import MissingTag, Signature, identity_domain, parse_signature
from mailwright.mailauth.dkim.tags import InvalidTags

PASS: Final = "pass"  # noqa: S105
FAIL: Final = "fail"
POLICY: Final = "policy"
NEUTRAL: Final = "neutral"
TEMPERROR: Final = "temperror"
PERMERROR: Final = "permerror"

MAX_SIGNATURES: Final = 10
MAX_RECORDS: Final = 4  # keys at one selector
MAX_RSA_BITS: Final = 8192
CLOCK_SKEW: Final = 300  # seconds
_KINDS: Final = {RSA_SHA256: "rsa", ED25519_SHA256: "ed25519"}


@dataclass(frozen=True)
class Verification:
    """What became of one signature. Empty texts are what the signature did not tell."""

    result: str  # pass fail policy neutral temperror permerror
    reason: str  # for people; empty when it passed
    domain: str = ""  # header.d
    identity: str = ""  # header.i
    selector: str = ""  # header.s
    algorithm: str = ""  # header.a
    signature_start: str = ""  # header.b: its first eight characters (RFC 6008)
    key_bits: int = 0
    is_testing: bool = False  # t=y: the domain asks to be treated as if it had not signed
    unsigned_octets: int = 0  # of the body, after what l= covers: anybody may have added them


class _Unacceptable(Exception):
    """Why a signature gets a result other than pass."""

    def __init__(self, result: str, reason: str) -> None:
        super().__init__(reason)
        self.result: str = result
        self.reason: str = reason


class Verifier:
    """Takes the header section at once and the body in chunks, then asks for the keys.

    The first `max_signatures` fields from the top are looked at, the others ignored.
    """

    __slots__ = ("_by_name", "_hashers", "_signatures", "min_rsa_bits")

    def __init__(
        self, headers: bytes, max_signatures: int = MAX_SIGNATURES, min_rsa_bits: int = MIN_RSA_BITS
    ) -> None:
        self.min_rsa_bits: int = min_rsa_bits
        self._by_name: dict[bytes, list[bytes]] = group_fields(split_fields(headers))
        self._signatures: list[Signature | _Unacceptable] = []
        self._hashers: dict[tuple[str, int | None], BodyHasher] = {}
        for field in self._by_name.get(b"dkim-signature", [])[:max_signatures]:
            signature = _read_signature(field)
            self._signatures.append(signature)
            if isinstance(signature, Signature):
                way = (signature.body_canonicalization, signature.length)
                if way not in self._hashers:
                    self._hashers[way] = BodyHasher(way[0], way[1])

    def update(self, data: bytes) -> None:
        """The next octets of the body."""
        for hasher in self._hashers.values():
            hasher.update(data)

    async def verify(self, resolver: Resolver, now: float) -> tuple[Verification, ...]:
        """One result for each signature, from the top; none for an unsigned message. Call it once.

        `now` is in seconds since 1970.
        """
        digests = {way: hasher.digest() for way, hasher in self._hashers.items()}
        results: list[Verification] = []
        for signature in self._signatures:
            if isinstance(signature, _Unacceptable):
                results.append(Verification(signature.result, signature.reason))
                continue
            way = (signature.body_canonicalization, signature.length)
            size = self._hashers[way].size
            results.append(await self._verify_one(signature, digests[way], size, resolver, now))
        return tuple(results)

    async def _verify_one(
        self, signature: Signature, digest: bytes, body_size: int, resolver: Resolver, now: float
    ) -> Verification:
        try:
            _check_signature(signature, now)
            records = await _fetch_records(signature, resolver)
        except _Unacceptable as failed:
            return _report(signature, None, failed.result, failed.reason, body_size)
        data = canonical_headers(self._by_name, list(signature.names), signature.canonicalization)
        data += canonical_field(signature.unsigned, signature.canonicalization)
        body_fault = _check_body(signature, digest, body_size)
        failure = _Unacceptable(PERMERROR, "no key")
        for record in records:
            fault = body_fault or self._try_key(signature, record, data)
            if fault is None:
                return _report(signature, record, PASS, "", body_size)
            failure = fault
        return _report(signature, records[-1], failure.result, failure.reason, body_size)

    def _try_key(self, signature: Signature, record: KeyRecord, data: bytes) -> _Unacceptable | None:
        """None when the key confirms the signature."""
        key = record.key
        if key is None:
            return _Unacceptable(PERMERROR, "the key was revoked")
        if record.kind != _KINDS[signature.algorithm]:
            return _Unacceptable(PERMERROR, f"the key is for {record.kind}")
        if record.hashes and "sha256" not in record.hashes:
            return _Unacceptable(PERMERROR, "the key is not for sha256")
        if not record.for_email:
            return _Unacceptable(PERMERROR, "the key is not for email")
        if record.is_strict and identity_domain(signature.identity) != signature.domain:
            return _Unacceptable(PERMERROR, "i= is below d=, which the key forbids")
        bits = _key_bits(key)
        if isinstance(key, RSAPublicKey) and not self.min_rsa_bits <= bits <= MAX_RSA_BITS:
            return _Unacceptable(POLICY, f"a key of {bits} bits is not accepted")
        if not _is_signed_by(key, signature.value, data):
            return _Unacceptable(FAIL, "the header was changed, or the key is another")
        return None


def _read_signature(field: bytes) -> Signature | _Unacceptable:
    try:
        return parse_signature(field)
    except MissingTag as missing:  # mypyc gives one name one type in a function
        return _Unacceptable(PERMERROR, str(missing))
    except InvalidTags as error:
        return _Unacceptable(NEUTRAL, str(error))


def _check_signature(signature: Signature, now: float) -> None:
    """What can be said before the key is known (RFC 6376 6.1.1)."""
    if signature.algorithm not in _KINDS:
        if signature.algorithm == "rsa-sha1":
            raise _Unacceptable(POLICY, "rsa-sha1 is not accepted (RFC 8301)")
        raise _Unacceptable(NEUTRAL, "a= is unknown")
    if not signature.by_dns:
        raise _Unacceptable(NEUTRAL, "q= names no known way to the key")
    if all(name.lower() != b"from" for name in signature.names):
        raise _Unacceptable(PERMERROR, "From is not signed")
    try:
        below = identity_domain(signature.identity)
    except InvalidTags as error:
        raise _Unacceptable(NEUTRAL, str(error)) from error
    if below != signature.domain and not below.endswith("." + signature.domain):
        raise _Unacceptable(PERMERROR, "i= is not within d=")
    if signature.expiration is not None and now > signature.expiration + CLOCK_SKEW:
        raise _Unacceptable(POLICY, "the signature has expired")


def _check_body(signature: Signature, digest: bytes, size: int) -> _Unacceptable | None:
    if signature.length is not None and signature.length > size:
        return _Unacceptable(FAIL, "the body is shorter than l= says")
    if digest != signature.body_hash:
        return _Unacceptable(FAIL, "the body was changed")
    return None


async def _fetch_records(signature: Signature, resolver: Resolver) -> list[KeyRecord]:
    """The keys at the selector, usable or not (RFC 6376 6.1.2)."""
    name = f"{signature.selector}._domainkey.{signature.domain}"
    try:
        answer: Answer[Record] = await resolver.resolve(name, "TXT")
    except DNSTemporary as silence:
        raise _Unacceptable(TEMPERROR, str(silence)) from silence
    fault = f"no key at {name}"
    records: list[KeyRecord] = []
    for text in answer.records[:MAX_RECORDS]:
        if isinstance(text, bytes):
            try:
                records.append(parse_key_record(text))
            except InvalidTags as error:
                fault = f"the key at {name} is malformed: {error}"
    if not records:
        raise _Unacceptable(PERMERROR, fault)
    return records


def _is_signed_by(key: PublicKey, signature: bytes, data: bytes) -> bool:
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, hashlib.sha256(data).digest())  # RFC 8463 3
        else:
            key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def _key_bits(key: PublicKey) -> int:
    return key.key_size if isinstance(key, RSAPublicKey) else 256


def _report(
    signature: Signature, record: KeyRecord | None, result: str, reason: str, body_size: int
) -> Verification:
    key = record.key if record is not None else None
    unsigned = body_size - signature.length if signature.length is not None else 0
    return Verification(
        result,
        reason,
        domain=signature.domain,
        identity=signature.identity,
        selector=signature.selector,
        algorithm=signature.algorithm,
        signature_start=base64.b64encode(signature.value[:6]).decode(),
        key_bits=_key_bits(key) if key is not None else 0,
        is_testing=record is not None and record.is_testing,
        unsigned_octets=max(unsigned, 0),
    )
