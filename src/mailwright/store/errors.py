"""What a store operation or the database under it can refuse."""

from __future__ import annotations


class StoreError(Exception):
    """A store operation refused; the message says why and what to do."""


class NotFound(StoreError):
    """What was named does not exist."""


class NoSuchAccount(NotFound):
    """No account has this address or id."""


class NoSuchMailbox(NotFound):
    """No mailbox has this name or id."""


class NoSuchMessage(NotFound):
    """No message has this id."""


class AlreadyExists(StoreError):
    """The name is taken."""


class NotAllowed(StoreError):
    """The operation is forbidden on this object (INBOX cannot be deleted, ...)."""


class NoRight(StoreError):
    """The owner of a mailbox has not granted the right that this needs (RFC 4314)."""


class OverQuota(StoreError):
    """The account's quota does not leave room for this."""


class TemporaryFailure(StoreError):
    """The store cannot keep this now; trying again later may succeed. Nothing was changed."""


class StoreBusy(TemporaryFailure):
    """Another writer holds the database."""


class StoreFull(TemporaryFailure):
    """The disk is full."""


class StoreFailed(TemporaryFailure):
    """The disk or the database server reported an error."""
