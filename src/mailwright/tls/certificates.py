"""The certificate a server shows: self-made when none is given, read again when its files change."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_DAYS: Final = 365
RENEW_DAYS: Final = 30  # before the end

# Forward secrecy and AEAD for TLS 1.2 (RFC 9325 4.2); TLS 1.3 has no others.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"


class BadCertificate(Exception):
    """A certificate or key that cannot be used; the text says which file, and what to do."""


class ServerContext(ssl.SSLContext):
    """A context that knows the channel binding of its certificate (RFC 5929 4.1)."""

    end_point: bytes = b""


def server_context(certificate: Path, key: Path) -> ServerContext:
    """A context for servers: TLS 1.2 or later (RFC 9325 3.1.1), no compression, no renegotiation.

    Raises BadCertificate.
    """
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_SINGLE_ECDH_USE
    context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF  # mail clients hang up without close_notify
    # Stateless tickets let clients resume without a cache in our memory; one is enough.
    context.num_tickets = 1
    try:
        context.load_cert_chain(certificate, key)
    except FileNotFoundError as error:
        missing = certificate if not certificate.exists() else key
        raise BadCertificate(f"{missing} is missing; check [tls] in the configuration") from error
    except PermissionError as error:
        raise BadCertificate(
            f"{certificate} or {key} may not be read by this user; let the group of the server read them"
        ) from error
    except (OSError, ssl.SSLError) as error:
        what = "do not belong together" if "MISMATCH" in str(error) else f"cannot be used: {error}"
        raise BadCertificate(
            f"{certificate} and {key} {what}; both must be PEM, the key without a password"
        ) from error
    context.end_point = server_end_point(leaf(certificate.read_bytes()))
    return context


def server_end_point(certificate: bytes) -> bytes:
    """The channel binding tls-server-end-point of a DER certificate (RFC 5929 4.1).

    The hash is that of its signature, but SHA-256 in place of MD5, SHA-1 and none (Ed25519).
    """
    try:
        algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    except UnsupportedAlgorithm:
        algorithm = None
    name = algorithm.name if algorithm is not None else "sha256"
    return hashlib.new("sha256" if name in ("md5", "sha1") else name, certificate).digest()


def leaf(pem: bytes) -> bytes:
    """The first certificate of a PEM chain, as DER. Raises BadCertificate."""
    try:
        return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    except ValueError as error:
        raise BadCertificate(f"there is no PEM certificate: {error}") from error


def self_signed(names: Iterable[str], now: datetime.datetime, days: int = VALID_DAYS) -> tuple[bytes, bytes]:
    """A certificate for host names and IP addresses, and its EC P-256 key; both PEM."""
    alternatives = [_general_name(name) for name in names]
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(alternatives[0].value)[:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private


def ensure_self_signed(
    folder: Path, names: Iterable[str], now: datetime.datetime | None = None
) -> tuple[Path, Path]:
    """The paths of `certificate.pem` and `key.pem` in `folder`.

    They are made anew when missing, broken, for other names, or within RENEW_DAYS of their end.
    Raises OSError when the folder cannot be written.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    wanted = list(dict.fromkeys(names))
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    if not _still_good(certificate, key, wanted, now):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        certificate_pem, key_pem = self_signed(wanted, now)
        _replace(key, key_pem, 0o600)
        _replace(certificate, certificate_pem, 0o644)
    return certificate, key


class CertificateStore:
    """A context that follows its two PEM files: a renewed certificate is shown without a restart."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises BadCertificate."""
        self.certificate = certificate
        self.key = key
        self._stamp = self._now_on_disk()
        self._context = server_context(certificate, key)

    @property
    def context(self) -> ServerContext:
        """The context for new connections."""
        return self._context

    def reload(self) -> bool:
        """Read the files again if they changed; True when a new certificate is in use.

        Raises BadCertificate, and the old one stays in use, when the new files cannot be used.
        """
        stamp = self._now_on_disk()
        if stamp == self._stamp:
            return False
        self._context, self._stamp = server_context(self.certificate, self.key), stamp
        return True

    def _now_on_disk(self) -> tuple[tuple[int, int, int], ...]:
        try:
            return tuple(
                (found.st_ino, found.st_mtime_ns, found.st_size)
                for found in (self.certificate.stat(), self.key.stat())
            )
        except OSError as error:
            raise BadCertificate(f"{error.filename} cannot be read: {error.strerror}") from error


def expires_at(certificate: Path) -> datetime.datetime:
    """When the first certificate in the file ends, in UTC. Raises BadCertificate."""
    try:
        return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        raise BadCertificate(f"{certificate} cannot be read: {error}") from error


def names_in(certificate: Path) -> list[str]:
    """The host names and addresses a certificate is good for (RFC 6125 6.4). Raises BadCertificate."""
    try:
        loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError) as error:
        raise BadCertificate(f"{certificate} cannot be read: {error}") from error
    try:
        alternatives = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in alternatives]


def _still_good(certificate: Path, key: Path, names: list[str], now: datetime.datetime) -> bool:
    try:
        server_context(certificate, key)
        known = [name.lower() for name in names_in(certificate)]
        ends = expires_at(certificate)
    except BadCertificate:
        return False
    return all(name.lower() in known for name in names) and ends - now > datetime.timedelta(days=RENEW_DAYS)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _replace(path: Path, data: bytes, mode: int) -> None:
    """Write the file whole or not at all; a private one is at no moment readable by others."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    owner = path.parent.stat()
    try:
        with os.fdopen(handle, "wb") as file:
            if os.geteuid() == 0:  # the server mostly is another user, who must be able to read it
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
