"""Password hashes: argon2id for what is typed, and the SCRAM secret beside it. All of it blocks."""

from __future__ import annotations

import functools
import secrets

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from mailwright.directory.accounts import pack_scram
from mailwright.sasl.saslprep import prepare_password
from mailwright.sasl.secret import SALT_SIZE, ScramSecret

# OWASP's second choice: 19 MiB, two passes; about 20 ms.
_hasher = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


@functools.cache
def _decoy() -> str:
    """What is compared against when there is no account, so that both answers take the same time."""
    return _hasher.hash(secrets.token_hex(16))


_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # without 0 o, 1 l


def hash_password(password: str) -> tuple[str, bytes]:
    """The argon2 hash of a password, and its packed SCRAM secret. About 50 ms."""
    prepared = prepare_password(password)
    scram = ScramSecret.from_password(prepared, secrets.token_bytes(SALT_SIZE))
    return _hasher.hash(prepared), pack_scram(scram)


def verify_password(password_hash: str | None, prepared: str) -> bool:
    """Whether a prepared password fits the hash; None stands for an account that is not there. About 20 ms."""
    try:
        return _hasher.verify(password_hash or _decoy(), prepared) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False


def generate_password() -> str:
    """A password that is easy to type: four groups of four letters and digits, 80 bits."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(4))
