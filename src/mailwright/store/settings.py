"""Small values that belong to the whole server."""

from __future__ import annotations

import secrets

from mailwright.store.db.api import Transaction


def secret(tx: Transaction, name: str) -> bytes:
    """A random secret of 32 octets, made when it is first asked for; run it as a write."""
    tx.run(
        "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING",
        f"secret:{name}",
        secrets.token_bytes(32),
    )
    row = tx.one("SELECT value FROM settings WHERE name = ?", f"secret:{name}")
    assert row is not None
    return bytes(row[0])
