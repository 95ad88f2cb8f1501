"""The secret that a server keeps for SCRAM-SHA-256, and the functions it is made by (RFC 5802 3)."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, NamedTuple

from mailwright.sasl.saslprep import prepare_password

HASH: Final = "sha256"
HASH_SIZE: Final = 32
# RFC 7677 4 asks for 4096 at least; Cyrus SASL, with which mbsync and others log in, refuses more than 65,536.
DEFAULT_ITERATIONS: Final = 60_000
SALT_SIZE: Final = 16


class ScramSecret(NamedTuple):
    """What the server keeps instead of the password (RFC 5802 3)."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes

    @staticmethod
    def from_password(password: str, salt: bytes, iterations: int = DEFAULT_ITERATIONS) -> ScramSecret:
        """Costs `iterations` rounds of PBKDF2: some 20 ms by default, so call it off the event loop."""
        salted = salted_password(password, salt, iterations)
        return ScramSecret(salt, iterations, stored_key(client_key(salted)), server_key(salted))

    @staticmethod
    def fake(username: str, server_secret: bytes) -> ScramSecret:
        """A secret for a user who does not exist: always the same for one name, and nothing proves it."""
        salt = hmac.digest(server_secret, b"salt:" + username.encode(), HASH)[:SALT_SIZE]
        key = hmac.digest(server_secret, b"key:" + username.encode(), HASH)
        return ScramSecret(salt, DEFAULT_ITERATIONS, key, key)


def salted_password(password: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac(HASH, prepare_password(password).encode(), salt, iterations)


def client_key(salted: bytes) -> bytes:
    return hmac.digest(salted, b"Client Key", HASH)


def server_key(salted: bytes) -> bytes:
    return hmac.digest(salted, b"Server Key", HASH)


def stored_key(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")
