"""Our DANE verdicts beside those of OpenSSL, which checks the same chain over real TLS."""

from __future__ import annotations

import hashlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID
from support.demo import free_port

from mailwright.dns.api import TLSA
from mailwright.mailauth.dane.verify import DaneStatus, verify_chain

NOW = datetime.now(UTC)
Pair = tuple[x509.Certificate, EllipticCurvePrivateKey]

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the Debian package openssl")


def issue(name: str, issuer: Pair | None, ca: bool, expired: bool = False) -> Pair:
    key = generate_private_key(SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=9))
        .not_valid_after(NOW + timedelta(days=-1 if expired else 9))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
    )
    if not ca:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
    return builder.sign(issuer[1] if issuer else key, SHA256()), key


ROOT = issue("root", None, ca=True)
MIDDLE = issue("middle", ROOT, ca=True)
GOOD = issue("mx.example.org", MIDDLE, ca=False)
EXPIRED = issue("mx.example.org", MIDDLE, ca=False, expired=True)
OTHER = issue("mx.example.com", MIDDLE, ca=False)
UNDER_LEAF = issue("mx.example.org", GOOD, ca=False)


def record(usage: int, selector: int, matching: int, of: Pair) -> TLSA:
    data = of[0].public_bytes(Encoding.DER)
    if selector:
        data = of[0].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return TLSA(usage, selector, matching, {1: hashlib.sha256, 2: hashlib.sha512}[matching](data).digest())


@contextmanager
def openssl_server(folder: Path, chain: list[Pair]) -> Iterator[int]:
    port = free_port()
    for number, (certificate, key) in enumerate(chain):
        (folder / f"{number}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        (folder / f"{number}.key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
    issuers = b"".join((folder / f"{number}.pem").read_bytes() for number in range(1, len(chain)))
    (folder / "issuers.pem").write_bytes(issuers)
    command = [
        "openssl",
        "s_server",
        "-accept",
        f"127.0.0.1:{port}",
        "-cert",
        "0.pem",
        "-key",
        "0.key",
        "-quiet",
    ]
    if issuers:
        command += ["-cert_chain", "issuers.pem"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not is_there(port):
            assert time.monotonic() < deadline, "openssl does not listen"
            time.sleep(0.02)
        yield port
    finally:
        process.kill()
        process.wait()


def is_there(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def openssl_accepts(port: int, records: list[TLSA]) -> bool:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-verify_return_error", "-brief"]
    command += ["-dane_tlsa_domain", "mx.example.org", "-dane_ee_no_namechecks"]
    for usage, selector, matching, data in records:
        command += ["-dane_tlsa_rrdata", f"{usage} {selector} {matching} {data.hex()}"]
    done = subprocess.run(command, input=b"", capture_output=True, timeout=60, check=False)
    return done.returncode == 0


@pytest.mark.parametrize(
    ("chain", "accepted", "refused"),
    [
        (
            [GOOD, MIDDLE, ROOT],
            [record(3, 1, 1, GOOD), record(3, 0, 2, GOOD), record(2, 0, 1, MIDDLE), record(2, 1, 2, ROOT)],
            [record(3, 1, 1, ROOT), record(2, 1, 1, GOOD), record(2, 1, 1, OTHER)],
        ),
        ([EXPIRED, MIDDLE], [record(3, 1, 1, EXPIRED)], [record(2, 1, 1, MIDDLE)]),
        ([OTHER, MIDDLE], [record(3, 0, 1, OTHER)], [record(2, 1, 1, MIDDLE)]),
        ([GOOD], [record(3, 1, 2, GOOD)], [record(2, 1, 1, MIDDLE)]),
        ([UNDER_LEAF, GOOD, MIDDLE], [record(3, 0, 1, UNDER_LEAF)], [record(2, 0, 1, MIDDLE)]),
    ],
    ids=["good", "expired", "another-name", "without-issuer", "issued-by-no-authority"],
)
def test_openssl_agrees(chain: list[Pair], accepted: list[TLSA], refused: list[TLSA], tmp_path: Path) -> None:
    ders = [certificate.public_bytes(Encoding.DER) for certificate, _ in chain]
    with openssl_server(tmp_path, chain) as port:
        for one, expected in [*((one, True) for one in accepted), *((one, False) for one in refused)]:
            assert openssl_accepts(port, [one]) is expected, one
            ours = verify_chain([one], ders, ["mx.example.org"], NOW.timestamp())
            assert (ours.status is DaneStatus.VERIFIED) is expected, ours
        # Of two digests the stronger alone counts; of two usages either may match.
        for both in ([accepted[0], refused[0]], [record(3, 1, 1, chain[0]), record(3, 1, 2, MIDDLE)]):
            ours = verify_chain(both, ders, ["mx.example.org"], NOW.timestamp())
            assert openssl_accepts(port, both) is (ours.status is DaneStatus.VERIFIED)
