"""The DKIM keys of our domains: `<folder>/<domain>/<selector>.pem`, loaded once, read again when they change."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from pathlib import Path

from mailwright.base.domain import InvalidDomain, to_ascii
from mailwright.delivery.submission import header_fields, header_section
from mailwright.mailauth.dkim.canonical import BodyHasher
from mailwright.mailauth.dkim.key import InvalidKey
from mailwright.mailauth.dkim.sign import Signer, sign
from mailwright.mailauth.dkim.signature import parse_signature
from mailwright.mailauth.dkim.tags import InvalidTags
from mailwright.message.address import parse_addresses

log = logging.getLogger(__name__)

_LOOK_AGAIN = 60.0  # seconds between two looks at a domain's folder
_REMEMBERED = 1000  # domains


class KeyRing:
    """Signers by domain. `selectors` names the keys to sign with; empty: all of the domain."""

    def __init__(self, folder: Path, selectors: tuple[str, ...] = (), *, enabled: bool = True) -> None:
        self._folder = folder
        self._selectors = selectors
        self._enabled = enabled
        self._signers: dict[str, tuple[float, list[Signer]]] = {}

    def signers(self, domain: str) -> list[Signer]:
        """The signers of a domain in A-labels; may read files."""
        if not self._enabled:
            return []
        now = time.monotonic()
        found = self._signers.get(domain)
        if found is None or now > found[0]:
            found = (now + _LOOK_AGAIN, self._load(domain))
            if len(self._signers) >= _REMEMBERED:
                self._signers.clear()
            self._signers[domain] = found
        return found[1]

    def has_key(self, domain: str) -> bool | None:
        """Whether the domain has a key; None when that is not known without reading files."""
        if not self._enabled:
            return False
        found = self._signers.get(domain)
        return bool(found[1]) if found is not None and time.monotonic() <= found[0] else None

    def sign(self, domain: str, header: bytes, body: Iterable[bytes], now: float) -> bytes:
        """DKIM-Signature fields for a message of this domain; b'' when it has no key. It blocks."""
        signers = self.signers(domain)
        if not signers:
            return b""
        hasher = BodyHasher()
        for piece in body:
            hasher.update(piece)
        return sign(header, hasher.digest(), signers, timestamp=int(now))

    def sign_message(self, content: bytes, now: float) -> bytes:
        """DKIM-Signature fields for a whole message of ours, by the keys of its author's domain or one above it.

        A report is of the server's name, and DMARC asks only that both belong together (RFC 7489 3.1.1).
        """
        header = header_section(content) or content
        domain = author_domain(header)
        while domain and not self.signers(domain):
            domain = domain.partition(".")[2]
        return self.sign(domain, header, (content[len(header) :],), now)

    def sign_again(self, content: bytes, now: float) -> bytes:
        """A whole message whose body was changed on its way, with new signatures in place of our own broken ones.

        Those of others stay, broken as they are: they are trace, and nothing counts against a message for them
        (RFC 6376 6.1). Whose keys sign was decided when the message came (`mailroom`), and is not asked again.
        """
        header = header_section(content) or content
        domain = _signed_here_for(header)
        if not self.signers(domain):
            return content
        body = content[len(header) :]
        header = _without_signatures(header, domain)
        return self.sign(domain, header, (body,), now) + header + body

    def _load(self, domain: str) -> list[Signer]:
        try:
            if to_ascii(domain) != domain:
                return []
        except InvalidDomain:  # it comes from a header field: not every text may become the name of a folder
            return []
        signers = []
        for path in sorted((self._folder / domain).glob("*.pem")):
            if self._selectors and path.stem not in self._selectors:
                continue
            try:
                signers.append(Signer.from_pem(domain, path.stem, path.read_bytes()))
            except (OSError, InvalidKey) as error:
                log.warning("the DKIM key %s cannot be used: %s", path, error)
        return signers


def _without_signatures(header: bytes, domain: str) -> bytes:
    """The header section without the DKIM-Signature fields of a domain."""
    kept = bytearray()
    position = 0
    for field in header_fields(header):
        kept += header[position : field.start]
        position = field.end
        raw = header[field.start : field.end]
        if field.name != b"dkim-signature" or _signing_domain(raw) != domain:
            kept += raw
    return bytes(kept) + header[position:]


def _signed_here_for(header: bytes) -> str:
    """The domain of our own signature, which stands above all Received fields; '' without one.

    What stands below our Received field came with the message, and may claim anything.
    """
    for field in header_fields(header):
        if field.name == b"received":
            break
        if field.name == b"dkim-signature":
            return _signing_domain(header[field.start : field.end])
    return ""


def _signing_domain(field: bytes) -> str:
    try:
        return parse_signature(field).domain
    except InvalidTags:
        return ""


def author_domain(header: bytes) -> str:
    """The domain of the first address in From, in lower case and A-labels; '' without one.

    It decides whose keys sign: DMARC compares it with the signature's domain (RFC 7489 3.1.1).
    """
    return author(header).rpartition("@")[2].lower()


def author(header: bytes) -> str:
    """The first address in From, its domain in A-labels (RFC 6376 3.5, `d=`) where it is one; '' without one."""
    for field in header_fields(header):
        if field.name == b"from":
            addresses = parse_addresses(header[field.value_start : field.value_end])
            return _with_a_labels(addresses[0].addr_spec) if addresses and addresses[0].domain else ""
    return ""


def _with_a_labels(address: str) -> str:
    local, at, domain = address.rpartition("@")
    try:
        return f"{local}{at}{to_ascii(domain)}"
    except InvalidDomain:  # it has no key either
        return address
