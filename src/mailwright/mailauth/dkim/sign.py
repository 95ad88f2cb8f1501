"""Making DKIM-Signature fields (RFC 6376 5)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mailwright.mailauth.dkim.canonical import (
    RELAXED,
    canonical_field,
    canonical_headers,
    group_fields,
    split_fields,
)
from mailwright.mailauth.dkim.key import (
    ED25519_SHA256,
    MIN_RSA_BITS,
    RSA_SHA256,
    InvalidKey,
    PrivateKey,
    load_private_key,
)

# Named once more than they occur, so that nobody can add another (RFC 6376 5.4, 8.15).
OVERSIGNED: Final = (
    "From",
    "Reply-To",
    "Subject",
    "Date",
    "Message-ID",
    "To",
    "Cc",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
)
# Signed where they occur (RFC 6376 5.4.1; RFC 8058 4 asks for the two of List-Unsubscribe).
SIGNED: Final = (
    "Sender",
    "In-Reply-To",
    "References",
    "Resent-Date",
    "Resent-From",
    "Resent-To",
    "Resent-Cc",
    "Resent-Message-ID",
    "List-Id",
    "List-Help",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Subscribe",
    "List-Post",
    "List-Owner",
    "List-Archive",
    "Content-Disposition",
    "Content-ID",
    "Content-Language",
    "Auto-Submitted",
    "TLS-Required",
)

_LINE: Final = 76  # octets; RFC 5322 2.1.1 recommends 78 at most


class Signer:
    """One key of a domain. Holds the loaded key: keep the object, and share it between threads as you like.

    `domain` is in A-labels. `identity` is the `i=` tag (an address in the domain or below it), if any.
    """

    __slots__ = ("_key", "algorithm", "domain", "identity", "selector")

    def __init__(self, domain: str, selector: str, key: PrivateKey, identity: str = "") -> None:
        self.domain: str = domain
        self.selector: str = selector
        self.identity: str = identity
        self._key: PrivateKey = key
        if isinstance(key, Ed25519PrivateKey):
            self.algorithm: str = ED25519_SHA256
        elif key.key_size < MIN_RSA_BITS:
            raise InvalidKey(f"an RSA key of {key.key_size} bits signs nothing that others accept")
        else:
            self.algorithm = RSA_SHA256

    @classmethod
    def from_pem(cls, domain: str, selector: str, pem: bytes) -> Signer:
        """A signer from a key file's content. Raises InvalidKey."""
        return cls(domain, selector, load_private_key(pem))

    def sign_octets(self, data: bytes) -> bytes:
        """The signature of the hashed header fields."""
        key = self._key
        if isinstance(key, Ed25519PrivateKey):
            return key.sign(hashlib.sha256(data).digest())  # RFC 8463 3
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def sign(
    headers: bytes,
    body_hash: bytes,
    signers: Sequence[Signer],
    timestamp: int | None = None,
    expiration: int | None = None,
    canonicalization: str = RELAXED,
    body_canonicalization: str = RELAXED,
    names: Sequence[str] | None = None,
) -> bytes:
    """One DKIM-Signature field for each signer, to be put in front of the message; folded, with final CRLF.

    `headers` is the header section with CRLF line ends (what follows an empty line is not looked at),
    `body_hash` the digest of a BodyHasher with the same body canonicalization. `timestamp` (t=) and
    `expiration` (x=) are in seconds since 1970. `names` overrides the choice of fields for the `h=` tag.
    """
    by_name = group_fields(split_fields(headers))
    chosen = list(names) if names is not None else _choose_names(by_name)
    signed = canonical_headers(by_name, [name.encode() for name in chosen], canonicalization)
    result: list[bytes] = []
    for signer in signers:
        tags = [
            "v=1",
            f"a={signer.algorithm}",
            f"c={canonicalization}/{body_canonicalization}",
            f"d={signer.domain}",
            f"s={signer.selector}",
        ]
        if signer.identity:
            tags.append(f"i={signer.identity}")
        if timestamp is not None:
            tags.append(f"t={timestamp}")
        if expiration is not None:
            tags.append(f"x={expiration}")
        tags.append("h=" + ":".join(chosen))
        tags.append("bh=" + base64.b64encode(body_hash).decode())
        unsigned = _fold(tags) + b";\r\n\tb="
        signature = signer.sign_octets(signed + canonical_field(unsigned, canonicalization))
        result.append(unsigned + _fold_base64(base64.b64encode(signature)) + b"\r\n")
    return b"".join(result)


def _choose_names(by_name: dict[bytes, list[bytes]]) -> list[str]:
    chosen: list[str] = []
    for name in OVERSIGNED:
        chosen.extend([name] * (len(by_name.get(name.lower().encode(), ())) + 1))
    for name in SIGNED:
        chosen.extend([name] * len(by_name.get(name.lower().encode(), ())))
    return chosen


def _fold(tags: Sequence[str]) -> bytes:
    """The field up to its last tag, folded between tags and at the colons of `h=`."""
    lines: list[str] = []
    line = "DKIM-Signature:"
    for index, tag in enumerate(tags):
        text = tag if index == len(tags) - 1 else tag + ";"
        if len(line) + 1 + len(text) <= _LINE:
            line += " " + text
            continue
        pieces = text.split(":") if text.startswith("h=") else [text]
        glue = " "
        for number, piece in enumerate(pieces):
            word = piece if number == len(pieces) - 1 else piece + ":"
            if len(line) + len(glue) + len(word) > _LINE:
                lines.append(line)
                line = "\t" + word
            else:
                line += glue + word
            glue = ""
    lines.append(line)
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


def _fold_base64(text: bytes) -> bytes:
    first = _LINE - 3  # after TAB b=
    rest = text[first:]
    step = _LINE - 1
    lines = [text[:first]] + [rest[start : start + step] for start in range(0, len(rest), step)]
    return b"\r\n\t".join(lines)
