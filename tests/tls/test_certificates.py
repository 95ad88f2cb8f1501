"""Certificates that are made, shown, and followed when they change."""

from __future__ import annotations

import datetime
import hashlib
import os
import socket
import ssl
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from mailwright.tls import certificates
from mailwright.tls.certificates import BadCertificate, CertificateStore, ensure_self_signed, server_end_point

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
NAMES = ["mail.example.org", "localhost", "127.0.0.1", "::1"]


def test_a_certificate_is_made_once(tmp_path: Path) -> None:
    certificate, key = ensure_self_signed(tmp_path / "tls", NAMES, NOW)
    first = certificate.read_bytes(), key.read_bytes()
    assert certificates.names_in(certificate) == NAMES
    assert key.stat().st_mode & 0o777 == 0o600
    ensure_self_signed(tmp_path / "tls", NAMES, NOW)
    assert (certificate.read_bytes(), key.read_bytes()) == first


@pytest.mark.parametrize(
    "days", [certificates.VALID_DAYS - certificates.RENEW_DAYS + 1, certificates.VALID_DAYS + 1]
)
def test_it_is_renewed_before_and_after_its_end(tmp_path: Path, days: int) -> None:
    certificate, _ = ensure_self_signed(tmp_path, NAMES, NOW)
    first = certificate.read_bytes()
    ensure_self_signed(tmp_path, NAMES, NOW + datetime.timedelta(days=days))
    assert certificate.read_bytes() != first


def test_it_is_made_anew_for_another_name_or_when_broken(tmp_path: Path) -> None:
    certificate, key = ensure_self_signed(tmp_path, NAMES, NOW)
    ensure_self_signed(tmp_path, ["mx.example.org"], NOW)
    assert certificates.names_in(certificate) == ["mx.example.org"]
    key.write_text("rubbish")
    ensure_self_signed(tmp_path, ["mx.example.org"], NOW)
    certificates.server_context(certificate, key)


def test_a_client_that_trusts_it_can_connect(tmp_path: Path) -> None:
    certificate, key = ensure_self_signed(tmp_path, NAMES)
    store = CertificateStore(certificate, key)
    seen = handshake(store.context, ssl.create_default_context(cafile=str(certificate)))
    assert seen.version == "TLSv1.3"
    assert (
        store.context.end_point
        == hashlib.sha256(seen.certificate).digest()
        == server_end_point(seen.certificate)
    )


def test_tls_1_1_and_old_ciphers_are_refused(tmp_path: Path) -> None:
    context = certificates.server_context(*ensure_self_signed(tmp_path, NAMES))
    client = ssl.create_default_context(cafile=str(tmp_path / "certificate.pem"))
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("AES128-SHA256")
    with pytest.raises(OSError):
        handshake(context, client)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_renewed_certificate_is_shown_without_a_restart(tmp_path: Path) -> None:
    certificate, key = ensure_self_signed(tmp_path, NAMES, NOW)
    store = CertificateStore(certificate, key)
    old_context, old_end_point = store.context, store.context.end_point
    assert not store.reload()
    ensure_self_signed(tmp_path, NAMES, NOW + datetime.timedelta(days=360))
    assert store.reload()
    assert store.context is not old_context
    assert store.context.end_point != old_end_point


def test_a_broken_renewal_leaves_the_old_one_in_use(tmp_path: Path) -> None:
    certificate, key = ensure_self_signed(tmp_path, NAMES, NOW)
    store = CertificateStore(certificate, key)
    context = store.context
    other, _ = certificates.self_signed(NAMES, NOW)
    certificate.write_bytes(other)
    with pytest.raises(BadCertificate, match="do not belong together"):
        store.reload()
    key.unlink()
    with pytest.raises(BadCertificate, match=r"key\.pem"):
        store.reload()
    assert store.context is context


@pytest.mark.parametrize("content", [b"", b"rubbish", os.urandom(2000)])
def test_files_that_are_no_certificates_are_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.pem").write_bytes(content)
    with pytest.raises(BadCertificate, match=r"c\.pem"):
        certificates.server_context(tmp_path / "c.pem", tmp_path / "c.pem")
    with pytest.raises(BadCertificate):
        certificates.leaf(content)


@pytest.mark.parametrize(
    ("algorithm", "name"), [("SHA384", "sha384"), ("SHA512", "sha512"), ("SHA256", "sha256")]
)
def test_the_binding_takes_the_hash_of_the_signature(algorithm: str, name: str) -> None:
    der = certificate_signed_by(rsa.generate_private_key(65537, 2048), getattr(hashes, algorithm)())
    assert server_end_point(der) == hashlib.new(name, der).digest()


def test_the_binding_of_a_signature_without_hash_is_sha256() -> None:
    der = certificate_signed_by(ed25519.Ed25519PrivateKey.generate(), None)
    assert server_end_point(der) == hashlib.sha256(der).digest()


def certificate_signed_by(
    key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey,
    algorithm: hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None,
) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + datetime.timedelta(days=1))
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.DER)


class Seen:
    version: str | None
    certificate: bytes


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> Seen:
    """What a client sees of a server that uses the context, over a real pair of sockets."""
    left, right = socket.socketpair()

    def serve() -> None:
        try:
            with server.wrap_socket(left, server_side=True) as served:
                served.recv(1)
        except OSError:
            left.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(right, server_hostname="mail.example.org") as connected:
            seen = Seen()
            seen.version = connected.version()
            seen.certificate = connected.getpeercert(binary_form=True) or b""
            return seen
    finally:
        right.close()
        thread.join()
