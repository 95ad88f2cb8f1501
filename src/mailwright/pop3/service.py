"""What all POP3 sessions of a server share, and what may differ between its listeners."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from mailwright.base.clock import Clock
from mailwright.base.limits import Limits
from mailwright.pop3.lock import MaildropLocks
from mailwright.sasl.api import Authenticator
from mailwright.sasl.server import MECHANISMS
from mailwright.store.store import Store


@dataclass(frozen=True)
class Services:
    """The store, the directory and what goes with them.

    `locks` are the same for all listeners. `server_secret` makes SCRAM challenges for unknown users look real, and
    should outlive restarts. `tls` None: no STLS.
    """

    store: Store
    authenticator: Authenticator
    locks: MaildropLocks
    limits: Limits
    hostname: str
    clock: Clock
    server_secret: bytes
    tls: Callable[[], ssl.SSLContext] | None = None


@dataclass(frozen=True)
class Policy:
    """`allow_plaintext_auth`: passwords without TLS. `mechanisms`: those of SASL that may be offered."""

    allow_plaintext_auth: bool = False
    mechanisms: tuple[str, ...] = MECHANISMS
