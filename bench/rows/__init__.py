"""The rows of the table, by the name that selects them."""

from __future__ import annotations

from collections.abc import Callable

from ..run import Bench
from .crowd import crowd
from .disk import disk
from .fetch import fetch, fetch_large
from .imap import imap, imap_large
from .million import million
from .relay import relay, relay_deferred, relay_signed
from .sessions import sessions
from .slow import slow
from .smtp import p99, smtp_kept, smtp_new
from .upload import upload

ROWS: dict[str, Callable[[Bench], None]] = {
    "smtp-new": smtp_new,
    "smtp-kept": smtp_kept,
    "p99": p99,
    "sessions": sessions,
    "fetch": fetch,
    "disk": disk,
    "upload": upload,
}

# Measured when they are named.
LATER: dict[str, Callable[[Bench], None]] = {
    "relay": relay,
    "relay-signed": relay_signed,
    "relay-deferred": relay_deferred,
    "fetch-large": fetch_large,
    "imap": imap,
    "imap-large": imap_large,
    "imap-million": million,
    "imap-crowd": crowd,
    "imap-slow": slow,
}
