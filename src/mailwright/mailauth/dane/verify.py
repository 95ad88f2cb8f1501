"""A server's certificate chain against its TLSA records (RFC 7672 3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID

from mailwright.dns.api import TLSA
from mailwright.mailauth.dane.names import bears_name, certificate_names
from mailwright.mailauth.dane.records import DANE_EE, DANE_TA, matches, usable_records

MAX_CHAIN: Final = 16  # certificates looked at

NOT_TRUSTED: Final = "certificate-not-trusted"
EXPIRED: Final = "certificate-expired"
HOST_MISMATCH: Final = "certificate-host-mismatch"
VALIDATION_FAILURE: Final = "validation-failure"


class DaneStatus(Enum):
    """What the records make of a connection."""

    VERIFIED = "verified"
    UNUSABLE = (
        "unusable"  # no record counts for SMTP: TLS is required, but nobody is authenticated (RFC 7672 2.2)
    )
    FAILED = "failed"  # this is not the server that the domain speaks of: do not deliver


@dataclass(frozen=True)
class DaneResult:
    """The verdict; `reason` is for people, `failure` is a result type of RFC 8460 4.3 when it failed."""

    status: DaneStatus
    reason: str
    record: TLSA | None = None  # the one that matched
    failure: str = ""


def verify_chain(
    records: Iterable[TLSA], chain: Sequence[bytes], names: Sequence[str], now: float
) -> DaneResult:
    """Check the certificates a server sent (DER, its own first) against its secure TLSA records.

    `names` are `reference_names()`; only DANE-TA looks at them, and at the dates (RFC 7672 3.1.1). `now` is
    in seconds since 1970.
    """
    usable = usable_records(records)
    if not usable:
        return DaneResult(
            DaneStatus.UNUSABLE, "no TLSA record has usage 2 or 3 with a known selector and digest"
        )
    if not chain:
        return _failed(VALIDATION_FAILURE, "the server sent no certificate")
    try:
        leaf = x509.load_der_x509_certificate(chain[0])
        for record in usable:
            if record.usage == DANE_EE and matches(record, leaf):
                return DaneResult(DaneStatus.VERIFIED, "the certificate matches a DANE-EE record", record)
        anchors = [record for record in usable if record.usage == DANE_TA]
        if not anchors:
            return _failed(NOT_TRUSTED, "the certificate matches no TLSA record")
        issuers = _load_certificates([*chain[1:MAX_CHAIN], *_whole_certificates(anchors)])
        return _verify_path(anchors, leaf, issuers, names, datetime.fromtimestamp(now, UTC))
    except (
        ValueError,
        TypeError,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.InvalidVersion,
    ) as error:
        return _failed(VALIDATION_FAILURE, f"a certificate of the server is malformed: {error}")


def _verify_path(
    anchors: list[TLSA],
    leaf: x509.Certificate,
    issuers: list[x509.Certificate],
    names: Sequence[str],
    now: datetime,
) -> DaneResult:
    found = _find_anchor(anchors, leaf, issuers, now)
    if isinstance(found, DaneResult):
        return found
    if not _is_for_servers(leaf):
        return _failed(NOT_TRUSTED, "the certificate is not for servers")
    if not bears_name(leaf, names):
        borne = ", ".join(certificate_names(leaf)[:5]) or "no name"
        return _failed(HOST_MISMATCH, f"the certificate is for {borne}, not for {' or '.join(names)}")
    return DaneResult(DaneStatus.VERIFIED, "the certificate was issued under a DANE-TA record", found)


def _find_anchor(
    anchors: list[TLSA], leaf: x509.Certificate, pool: list[x509.Certificate], now: datetime
) -> TLSA | DaneResult:
    """Climb from the certificate to one that an anchor names; each is visited once, whatever their order."""
    if not _is_current(leaf, now):
        return _failed(EXPIRED, "the certificate is not valid today")
    fault = _failed(NOT_TRUSTED, "no certificate of the server leads to a TLSA record")
    level = [leaf]
    for depth in range(MAX_CHAIN):
        issuers: list[x509.Certificate] = []
        for candidate in list(pool):
            if not any(_is_issued_by(certificate, candidate) for certificate in level):
                continue
            pool.remove(candidate)
            if not _is_current(candidate, now):
                fault = _failed(EXPIRED, "an issuing certificate is not valid today")
                continue
            if not _may_issue(candidate, depth):
                fault = _failed(NOT_TRUSTED, "an issuing certificate is not one of an authority")
                continue
            for record in anchors:
                if matches(record, candidate):
                    return record
            issuers.append(candidate)
        if not issuers:
            break
        level = issuers
    return fault


def _whole_certificates(anchors: list[TLSA]) -> list[bytes]:
    """The certificates that records hold whole, which a server need not send (RFC 7671 5.2.2)."""
    return [record.data for record in anchors if record.selector == 0 and record.matching == 0]


def _load_certificates(ders: list[bytes]) -> list[x509.Certificate]:
    """Those that can be read; one that cannot is not needed, or else missed."""
    found: list[x509.Certificate] = []
    for der in ders:
        try:
            found.append(x509.load_der_x509_certificate(der))
        except (ValueError, x509.InvalidVersion):
            continue
    return found


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    if certificate.issuer != issuer.subject:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _may_issue(certificate: x509.Certificate, depth: int) -> bool:
    """RFC 5280 4.2.1.9, 4.2.1.3; `depth` counts the authorities between this one and the server."""
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return False
    if not basic.ca or (basic.path_length is not None and depth > basic.path_length):
        return False
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return True


def _is_for_servers(certificate: x509.Certificate) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.SERVER_AUTH in usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages


def _is_current(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _failed(failure: str, reason: str) -> DaneResult:
    return DaneResult(DaneStatus.FAILED, reason, failure=failure)
