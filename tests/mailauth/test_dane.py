"""TLSA records against chains that are made here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.dns.api import TLSA
from mailwright.mailauth.dane.names import reference_names
from mailwright.mailauth.dane.records import usable_records
from mailwright.mailauth.dane.verify import DaneStatus, verify_chain

TODAY = datetime(2026, 11, 23, tzinfo=UTC)
NOW = TODAY.timestamp()
NAMES = ("mx.example.org", "example.org")


@dataclass(frozen=True)
class Issued:
    certificate: x509.Certificate
    key: EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def spki(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def issue(
    name: str,
    issuer: Issued | None = None,
    *,
    ca: bool = False,
    path_length: int | None = None,
    dns: tuple[str, ...] = (),
    days: int = 30,
    usage: x509.ObjectIdentifier | None = None,
) -> Issued:
    key = generate_private_key(SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(TODAY - timedelta(days=60))
        .not_valid_after(TODAY + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca, path_length), critical=True)
    )
    if dns:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in dns]), False)
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
    return Issued(builder.sign(issuer.key if issuer else key, SHA256()), key)


ROOT = issue("root", ca=True)
MIDDLE = issue("middle", ROOT, ca=True, path_length=0)
LEAF = issue("mx.example.org", MIDDLE, dns=("mx.example.org",))
CHAIN = [LEAF.der, MIDDLE.der, ROOT.der]
OTHER = issue("other", dns=("mx.example.org",))


def tlsa(usage: int, selector: int, matching: int, of: Issued) -> TLSA:
    data = of.spki if selector else of.der
    digests = {0: data, 1: hashlib.sha256(data).digest(), 2: hashlib.sha512(data).digest()}
    return TLSA(usage, selector, matching, digests[matching])


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
def test_every_selector_and_digest(selector: int, matching: int) -> None:
    for usage, of in ((3, LEAF), (2, MIDDLE), (2, ROOT)):
        record = tlsa(usage, selector, matching, of)
        result = verify_chain([record], CHAIN, NAMES, NOW)
        assert (result.status, result.record) == (DaneStatus.VERIFIED, record)
    wrong = verify_chain([tlsa(3, selector, matching, OTHER)], CHAIN, NAMES, NOW)
    assert (wrong.status, wrong.failure) == (DaneStatus.FAILED, "certificate-not-trusted")
    assert wrong.reason == "the certificate matches no TLSA record"


def test_dane_ee_looks_at_no_name_and_no_date() -> None:
    old = issue("whatever", days=-1)
    assert verify_chain([tlsa(3, 1, 1, old)], [old.der], NAMES, NOW).status is DaneStatus.VERIFIED


def test_dane_ee_is_for_the_servers_own_certificate() -> None:
    assert verify_chain([tlsa(3, 1, 1, MIDDLE)], CHAIN, NAMES, NOW).status is DaneStatus.FAILED


def test_dane_ta_is_for_an_issuer() -> None:
    selfsigned = issue("mx.example.org", ca=True, dns=("mx.example.org",))
    result = verify_chain([tlsa(2, 0, 1, LEAF)], CHAIN, NAMES, NOW)
    assert result.failure == "certificate-not-trusted"
    # A self-issued certificate that is its own authority is one, when the server sends it twice or once.
    assert (
        verify_chain([tlsa(2, 0, 1, selfsigned)], [selfsigned.der] * 2, NAMES, NOW).status
        is DaneStatus.VERIFIED
    )


def test_the_order_of_the_chain_and_strangers_in_it_do_not_matter() -> None:
    chain = [LEAF.der, OTHER.der, ROOT.der, ROOT.der, MIDDLE.der]
    assert verify_chain([tlsa(2, 1, 2, ROOT)], chain, NAMES, NOW).status is DaneStatus.VERIFIED


def test_an_unreadable_certificate_among_the_issuers_does_no_harm() -> None:
    junk = [LEAF.der, b"junk", MIDDLE.der]
    for record in (tlsa(3, 1, 1, LEAF), tlsa(2, 1, 1, MIDDLE)):
        assert verify_chain([record], junk, NAMES, NOW).status is DaneStatus.VERIFIED
    result = verify_chain([tlsa(3, 1, 1, LEAF)], [b"junk", *CHAIN], NAMES, NOW)
    assert (result.status, result.failure) == (DaneStatus.FAILED, "validation-failure")


def test_an_authority_may_stand_whole_in_the_record_alone() -> None:
    chain = [LEAF.der, MIDDLE.der]
    assert verify_chain([tlsa(2, 0, 0, ROOT)], chain, NAMES, NOW).status is DaneStatus.VERIFIED
    assert verify_chain([tlsa(2, 0, 1, ROOT)], chain, NAMES, NOW).status is DaneStatus.FAILED


@pytest.mark.parametrize(
    ("leaf", "failure", "reason"),
    [
        (issue("mx.example.org", MIDDLE, days=-1), "certificate-expired", "not valid today"),
        (
            issue("mx.example.com", MIDDLE),
            "certificate-host-mismatch",
            "is for mx.example.com, not for mx.example",
        ),
        (
            issue("mx.example.org", MIDDLE, dns=("a.example.org",)),
            "certificate-host-mismatch",
            "is for a.example",
        ),
        (
            issue("x", MIDDLE, dns=("*.mx.example.org", "*.org.example")),
            "certificate-host-mismatch",
            "is for",
        ),
        (issue("mx.example.org", OTHER), "certificate-not-trusted", "leads to a TLSA record"),
        (
            issue("mx.example.org", MIDDLE, usage=ExtendedKeyUsageOID.CLIENT_AUTH),
            "certificate-not-trusted",
            "not for servers",
        ),
    ],
)
def test_dane_ta_failures(leaf: Issued, failure: str, reason: str) -> None:
    result = verify_chain([tlsa(2, 1, 1, ROOT)], [leaf.der, MIDDLE.der, ROOT.der], NAMES, NOW)
    assert (result.status, result.failure) == (DaneStatus.FAILED, failure)
    assert reason in result.reason


@pytest.mark.parametrize("dns", [("*.example.org",), ("example.org",), ("MX.Example.Org",)])
def test_names_that_do(dns: tuple[str, ...]) -> None:
    leaf = issue("x", ROOT, dns=dns, usage=ExtendedKeyUsageOID.SERVER_AUTH)
    assert verify_chain([tlsa(2, 0, 1, ROOT)], [leaf.der, ROOT.der], NAMES, NOW).status is DaneStatus.VERIFIED


def test_who_may_not_issue() -> None:
    fake = issue(
        "mx.example.com", ROOT, dns=("mx.example.com",)
    )  # an ordinary certificate of the same authority
    forged = issue("mx.example.org", fake, dns=("mx.example.org",))
    result = verify_chain([tlsa(2, 1, 1, ROOT)], [forged.der, fake.der, ROOT.der], NAMES, NOW)
    assert result.reason == "an issuing certificate is not one of an authority"
    below = issue("below", MIDDLE, ca=True)  # MIDDLE may issue no further authority
    deep = issue("mx.example.org", below, dns=("mx.example.org",))
    result = verify_chain([tlsa(2, 1, 1, ROOT)], [deep.der, below.der, MIDDLE.der, ROOT.der], NAMES, NOW)
    assert result.failure == "certificate-not-trusted"
    expired = issue("old", ROOT, ca=True, days=-1)
    leaf = issue("mx.example.org", expired, dns=("mx.example.org",))
    result = verify_chain([tlsa(2, 1, 1, ROOT)], [leaf.der, expired.der, ROOT.der], NAMES, NOW)
    assert result.failure == "certificate-expired"


def test_what_counts() -> None:
    good = tlsa(3, 1, 1, LEAF)
    unusable = [
        TLSA(0, 0, 1, bytes(32)),
        TLSA(1, 1, 1, bytes(32)),
        TLSA(4, 1, 1, bytes(32)),
        TLSA(255, 1, 1, bytes(32)),
        TLSA(3, 2, 1, bytes(32)),
        TLSA(3, 1, 3, bytes(32)),
        TLSA(3, 1, 1, bytes(31)),
        TLSA(3, 1, 2, bytes(32)),
        TLSA(3, 1, 0, b""),
    ]
    assert usable_records([*unusable, good]) == (good,)
    assert verify_chain(unusable, CHAIN, NAMES, NOW).status is DaneStatus.UNUSABLE
    assert verify_chain([], CHAIN, NAMES, NOW).status is DaneStatus.UNUSABLE


def test_a_stronger_digest_replaces_a_weaker_one() -> None:
    strong, weak, full = tlsa(3, 1, 2, OTHER), tlsa(3, 1, 1, LEAF), tlsa(3, 1, 0, OTHER)
    assert usable_records([weak, strong, full]) == (strong, full)
    assert verify_chain([weak, strong], CHAIN, NAMES, NOW).status is DaneStatus.FAILED
    assert usable_records([tlsa(3, 0, 2, OTHER), weak]) == (tlsa(3, 0, 2, OTHER), weak)  # another selector


def test_the_names_to_look_for() -> None:
    assert reference_names("Example.org.", "mx.example.org", "") == ("mx.example.org", "example.org")
    assert reference_names("a.example", "mx.b.example", "real.c.example") == (
        "mx.b.example",
        "real.c.example",
        "a.example",
    )
    assert reference_names("a.example", "a.example", "a.example") == ("a.example",)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.binary(max_size=40) | st.sampled_from(CHAIN), max_size=4),
    st.tuples(st.integers(0, len(LEAF.der) - 1), st.integers(0, 255)),
    st.lists(
        st.builds(TLSA, st.integers(0, 4), st.integers(0, 2), st.integers(0, 3), st.binary(max_size=64)),
        max_size=3,
    ),
)
def test_no_chain_and_no_record_breaks_it(
    chain: list[bytes], damage: tuple[int, int], extra: list[TLSA]
) -> None:
    leaf = bytearray(LEAF.der)
    leaf[damage[0]] = damage[1]
    records = [*extra, tlsa(2, 1, 1, ROOT), tlsa(3, 0, 1, OTHER)]
    for certificates in (chain, [bytes(leaf), *chain]):
        result = verify_chain(records, certificates, NAMES, NOW)
        assert result.status in (DaneStatus.FAILED, DaneStatus.VERIFIED)
        if result.status is DaneStatus.VERIFIED:
            assert certificates[0] == LEAF.der
