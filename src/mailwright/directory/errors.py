"""What the directory can refuse."""

from __future__ import annotations

from mailwright.store.errors import AlreadyExists, NotFound, StoreError


class DirectoryError(StoreError):
    """A request that the directory cannot fulfil; the message says why and what to do."""


class InvalidAddress(DirectoryError):
    """A text that is no mail address."""


class NotLocal(DirectoryError):
    """The address belongs to a domain that is not ours."""


class NotSetUp(DirectoryError):
    """This server has no domain at all: not yet, or its data is not where it should be."""


class NoSuchUser(NotFound):
    """A domain of ours has no such address (5.1.1)."""


class AccountDisabled(DirectoryError):
    """The account takes no mail and no logins (5.2.1)."""


class AliasLoop(DirectoryError):
    """Aliases that lead to themselves, to nobody, or to too many addresses (5.3.5)."""


class DomainInUse(DirectoryError):
    """The domain still has accounts or aliases."""


__all__ = [
    "AccountDisabled",
    "AliasLoop",
    "AlreadyExists",
    "DirectoryError",
    "DomainInUse",
    "InvalidAddress",
    "NoSuchUser",
    "NotFound",
    "NotLocal",
    "NotSetUp",
]
