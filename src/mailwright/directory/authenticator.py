"""Who logs in: passwords and SCRAM proofs against the directory, with lock-outs.

Implements `sasl.api.Authenticator`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from mailwright.directory.accounts import Account as DirectoryAccount
from mailwright.directory.accounts import Credential, read_credentials
from mailwright.directory.addresses import normal_address
from mailwright.directory.errors import InvalidAddress, NotFound
from mailwright.directory.lockout import Lockout
from mailwright.directory.logins import Logins, mark_credential
from mailwright.directory.passwords import verify_password
from mailwright.sasl.api import Account, Denied, Ended
from mailwright.sasl.secret import ScramSecret
from mailwright.store.errors import TemporaryFailure
from mailwright.store.store import Store

log = logging.getLogger(__name__)

_WRONG = Denied(False, "the user name or the password is wrong")
_UNAVAILABLE = Denied(True, "logins are not possible right now; try again in a minute")
_VERIFIED = 1000  # passwords whose check is remembered
_WAITING = 64  # checks that may wait for a thread


class DirectoryAuthenticator:
    """Checks logins. Hashing runs on threads of its own, at most two at a time: each takes 19 MiB."""

    def __init__(self, store: Store, lockout: Lockout) -> None:
        self.logins = Logins(store)
        self._store = store
        self._lockout = lockout
        self._hashers = ThreadPoolExecutor(2, thread_name_prefix="password")
        self._waiting = 0
        self._key = secrets.token_bytes(32)
        self._verified: OrderedDict[bytes, None] = OrderedDict()

    def close(self) -> None:
        """Stop the threads, and watch no login any more."""
        self.logins.close()
        self._hashers.shutdown(wait=False, cancel_futures=True)

    async def verify_password(self, username: str, password: str, peer: str) -> Account | Denied:
        """See `sasl.api.Authenticator`. A wrong answer takes as long for an unknown account as for a known one."""
        if (locked := self._locked(username, peer)) is not None:
            return locked
        try:
            account, credentials = await self._read(username)
            candidates: list[Credential | None] = [*credentials] or [None]
            for credential in candidates:
                if await self._fits(credential, password):
                    return await self._accept(account, credential, username, peer)
        except TemporaryFailure:
            return _UNAVAILABLE
        return await self._refuse(username, peer)

    async def scram_secret(self, username: str, peer: str) -> ScramSecret | Denied | None:
        """See `sasl.api.Authenticator`: the secret of the main password."""
        if (locked := self._locked(username, peer)) is not None:
            return locked
        try:
            _, credentials = await self._read(username)
        except TemporaryFailure:
            return _UNAVAILABLE
        main = _main(credentials)
        return None if main is None else main.scram

    async def scram_succeeded(self, username: str, peer: str) -> Account | Denied:
        """See `sasl.api.Authenticator`."""
        try:
            account, credentials = await self._read(username)
        except TemporaryFailure:
            return _UNAVAILABLE
        return await self._accept(account, _main(credentials), username, peer)

    async def scram_failed(self, username: str, peer: str) -> None:
        """See `sasl.api.Authenticator`."""
        await self._refuse(username, peer)

    def watch(self, account: Account, ended: Callable[[Ended], None]) -> Callable[[], None]:
        """See `sasl.api.Authenticator`."""
        return self.logins.watch(account, ended)

    async def _read(self, username: str) -> tuple[DirectoryAccount | None, list[Credential]]:
        try:
            return await self._store.look_up(read_credentials, username)
        except (NotFound, InvalidAddress):
            return None, []

    async def _fits(self, credential: Credential | None, password: str) -> bool:
        stored = credential.password_hash if credential is not None else None
        key = hmac.digest(
            self._key, f"{stored}\x00{password}".encode("utf-8", "surrogatepass"), hashlib.sha256
        )
        if key in self._verified:  # keyed by the stored hash as well: a changed password is checked anew
            self._verified.move_to_end(key)
            return True
        if self._waiting >= _WAITING:
            raise TemporaryFailure("too many logins wait to be checked")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            fits = await loop.run_in_executor(self._hashers, verify_password, stored, password)
        finally:
            self._waiting -= 1
        if fits:
            self._verified[key] = None
            if len(self._verified) > _VERIFIED:
                self._verified.popitem(last=False)
        return fits

    def _locked(self, username: str, peer: str) -> Denied | None:
        seconds = self._lockout.locked_for(_name(username), peer)
        if not seconds:
            return None
        return Denied(True, f"too many failed logins; wait {int(seconds // 60) + 1} minutes, then try again")

    async def _accept(
        self, account: DirectoryAccount | None, credential: Credential | None, username: str, peer: str
    ) -> Account | Denied:
        if account is None or credential is None:
            return await self._refuse(username, peer)
        if account.disabled:
            log.info("login of %s from %s refused: the account is disabled", account.address, peer)
            return Denied(False, "this account is disabled; ask your postmaster")
        self._lockout.succeeded(_name(username), peer)
        mark = mark_credential(credential.name, credential.password_hash)
        return Account(account.id, account.address, mark)

    async def _refuse(self, username: str, peer: str) -> Denied:
        log.warning("failed login as %r from %s", username[:100], peer)
        await asyncio.sleep(self._lockout.failed(_name(username), peer))
        return _WRONG


def _main(credentials: list[Credential]) -> Credential | None:
    return next((credential for credential in credentials if credential.name == ""), None)


def _name(username: str) -> str:
    try:
        return normal_address(username)
    except InvalidAddress:
        return username[:256].casefold()
