"""Who is logged in, and whether they still may be: open sessions end when their login holds no longer."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

from mailwright.sasl.api import Account, Ended
from mailwright.store.db.api import Transaction
from mailwright.store.errors import TemporaryFailure
from mailwright.store.notify.api import account_of, logins_of
from mailwright.store.store import Store

log = logging.getLogger(__name__)

_TOGETHER: Final = 200  # accounts looked up at a time
_RETRY: Final = 5.0  # seconds after which a store that could not be read is tried again

_CHANGED: Final = Ended(True, "The password was changed; log in again with the new one")
_DISABLED: Final = Ended(False, "This account is disabled; ask your postmaster")
_REMOVED: Final = Ended(False, "This account was removed; ask your postmaster")


class _Login:
    """One login; to call it ends the watch."""

    __slots__ = ("_logins", "account", "credential", "ended")

    def __init__(self, logins: Logins, account: Account, ended: Callable[[Ended], None]) -> None:
        self._logins = logins
        self.account = account.id
        self.credential = account.credential
        self.ended = ended

    def __call__(self) -> None:
        self._logins.forget(self)


class Logins:
    """The logins of this process. Looked at when one of their accounts is announced, and by `check`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._live: dict[int, list[_Login]] = {}
        self._unsubscribe: dict[int, Callable[[], None]] = {}
        self._subscriber = self._heard  # one object for all
        self._doubtful: dict[int, None] = {}
        self._checking: asyncio.Task[None] | None = None

    @property
    def count(self) -> int:
        """How many logins are watched."""
        return sum(map(len, self._live.values()))

    def watch(self, account: Account, ended: Callable[[Ended], None]) -> Callable[[], None]:
        """See `sasl.api.Authenticator`."""
        login = _Login(self, account, ended)
        if account.id in self._live:
            self._live[account.id].append(login)
        else:
            self._live[account.id] = [login]
            self._unsubscribe[account.id] = self._store.notify.subscribe(
                logins_of(account.id), self._subscriber
            )
        return login

    def check(self) -> None:
        """Look at all of them: what another process did was perhaps not announced."""
        self._doubt(self._live)

    def close(self) -> None:
        """Look no more."""
        if self._checking is not None:
            self._checking.cancel()

    def forget(self, login: _Login) -> None:
        """Watch it no more."""
        logins = self._live.get(login.account, [])
        if login in logins:
            logins.remove(login)
            if not logins:
                del self._live[login.account]
                self._unsubscribe.pop(login.account)()

    def _heard(self, subject: int, modseq: int) -> None:
        self._doubt((account_of(subject),))

    def _doubt(self, accounts: Iterable[int]) -> None:
        self._doubtful.update(dict.fromkeys(accounts))
        if self._doubtful and (self._checking is None or self._checking.done()):
            self._checking = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        while self._doubtful:
            accounts = list(islice(self._doubtful, _TOGETHER))
            for account in accounts:
                del self._doubtful[account]
            try:
                good = await self._store.read(read_credential_marks, accounts)
            except TemporaryFailure as error:
                log.warning("whether %d logins still hold is looked at later: %s", len(accounts), error)
                self._doubtful.update(dict.fromkeys(accounts))
                await asyncio.sleep(_RETRY)
                continue
            for account in accounts:
                for login in list(self._live.get(account, ())):
                    why = _why_ended(good, account, login.credential)
                    if why is not None:
                        self.forget(login)
                        login.ended(why)


def mark_credential(name: str, password_hash: str) -> bytes:
    """What tells one password of an account from all others that it had or will have."""
    return hashlib.sha256(f"{name}\x00{password_hash}".encode()).digest()[:16]


def read_credential_marks(tx: Transaction, accounts: list[int]) -> dict[int, set[bytes] | None]:
    """The marks of the passwords of accounts that are there; None: the account is disabled."""
    places = ", ".join("?" * len(accounts))
    rows = tx.all(f"SELECT id, disabled FROM accounts WHERE id IN ({places})", *accounts)  # noqa: S608
    marks: dict[int, set[bytes] | None] = {account: None if disabled else set() for account, disabled in rows}
    for account, name, hashed in tx.all(
        f"SELECT account, name, password_hash FROM credentials WHERE account IN ({places})",  # noqa: S608
        *accounts,
    ):
        known = marks.get(account)
        if known is not None:
            known.add(mark_credential(name, hashed))
    return marks


def _why_ended(good: dict[int, set[bytes] | None], account: int, credential: bytes) -> Ended | None:
    if account not in good:
        return _REMOVED
    marks = good[account]
    if marks is None:
        return _DISABLED
    return _CHANGED if credential and credential not in marks else None
