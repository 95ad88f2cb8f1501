"""What all IMAP sessions of a server share."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence

from mailwright.base.clock import Clock
from mailwright.base.limits import Limits
from mailwright.imap.journal import Journal
from mailwright.imap.keywords import Keywords
from mailwright.imap.orders import Orders
from mailwright.imap.recents import Recents
from mailwright.imap.view import Pool
from mailwright.sasl.api import Authenticator
from mailwright.sasl.server import MECHANISMS
from mailwright.store.store import Store


class Service:
    """The store, the directory and the policy.

    `tls` gives the certificate of the moment; None: no STARTTLS. `allow_plaintext_auth` lets passwords through
    without TLS. `server_secret` makes SCRAM challenges for unknown users look real; it should outlive restarts.
    """

    def __init__(
        self,
        store: Store,
        authenticator: Authenticator,
        clock: Clock,
        *,
        hostname: str,
        server_secret: bytes,
        limits: Limits | None = None,
        tls: Callable[[], ssl.SSLContext] | None = None,
        allow_plaintext_auth: bool = False,
        mechanisms: Sequence[str] = MECHANISMS,
        wake_indexer: Callable[[int], None] = lambda account: None,
    ) -> None:
        self.store = store
        self.authenticator = authenticator
        self.clock = clock
        self.hostname = hostname
        self.server_secret = server_secret
        self.limits = limits or Limits()
        self.tls = tls
        self.allow_plaintext_auth = allow_plaintext_auth
        self.mechanisms = tuple(mechanisms)
        self.wake_indexer = wake_indexer  # an account has been given a search index
        self.pool = Pool()
        self.recents = Recents(clock.now())
        self.keywords = Keywords()
        self.journal = Journal(store)
        self.orders = Orders()

    def now(self) -> int:
        """Seconds since the epoch."""
        return int(self.clock.now())
