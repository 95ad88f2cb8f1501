"""Which names a certificate under a DANE-TA record must bear, and whether it does."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509
from cryptography.x509.oid import NameOID


def reference_names(next_hop: str, host: str, canonical: str = "") -> tuple[str, ...]:
    """The names of which the certificate must bear one (RFC 7672 3.2.2).

    These are the MX host, where its CNAMEs lead, and the recipient domain or smarthost.
    """
    names = (name.rstrip(".").lower() for name in (host, canonical, next_hop))
    return tuple(dict.fromkeys(name for name in names if name))


def certificate_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Its DNS names; the common name only when there are none. Raises ValueError when malformed."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        pass
    else:
        names = extension.value.get_values_for_type(x509.DNSName)
        if names:
            return tuple(names)
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return tuple(str(attribute.value) for attribute in common[:1])


def bears_name(certificate: x509.Certificate, names: Iterable[str]) -> bool:
    """Whether one of the names is the certificate's; its `*.` stands for one label (RFC 7672 3.2.3)."""
    borne = {name.rstrip(".").lower() for name in certificate_names(certificate)}
    return any(name in borne or "*." + name.partition(".")[2] in borne for name in names)
