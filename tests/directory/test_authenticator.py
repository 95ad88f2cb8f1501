"""Logins: right and wrong passwords, app passwords, SCRAM secrets, lock-outs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from mailwright.base.clock import ManualClock
from mailwright.directory.accounts import add_account, remove_password, set_disabled, set_password
from mailwright.directory.authenticator import DirectoryAuthenticator
from mailwright.directory.lockout import Lockout
from mailwright.directory.passwords import generate_password, hash_password
from mailwright.sasl.api import Account, Denied
from mailwright.sasl.secret import ScramSecret, client_key, salted_password, stored_key
from mailwright.store.store import Store

PEER = "192.0.2.1"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def login(
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[DirectoryAuthenticator]:
    await store.write(add_account, "alice@example.org", now=1)
    await store.write(set_password, "alice@example.org", *hash_password("correct horse"), now=1)

    async def no_waiting(delay: float) -> None:
        clock.advance(delay)

    monkeypatch.setattr(asyncio, "sleep", no_waiting)
    authenticator = DirectoryAuthenticator(
        store, Lockout(clock, 10, 900, exempt=lambda address: address == "::1")
    )
    yield authenticator
    authenticator.close()


async def test_passwords(login: DirectoryAuthenticator) -> None:
    for _ in range(2):  # checked, then remembered
        account = await login.verify_password("Alice@Example.org", "correct horse", PEER)
        assert isinstance(account, Account)
        assert account.address == "alice@example.org"
    for name, password in (
        ("alice@example.org", "wrong"),
        ("nobody@example.org", "correct horse"),
        ("", ""),
        ("\x00", "x"),
    ):
        denied = await login.verify_password(name, password, PEER)
        assert denied == Denied(False, "the user name or the password is wrong")


async def test_app_passwords(store: Store, login: DirectoryAuthenticator) -> None:
    password = generate_password()
    await store.write(set_password, "alice@example.org", *hash_password(password), now=1, name="phone")
    assert isinstance(await login.verify_password("alice@example.org", password, PEER), Account)
    assert isinstance(await login.verify_password("alice@example.org", "correct horse", PEER), Account)
    await store.write(remove_password, "alice@example.org", "phone")
    assert isinstance(await login.verify_password("alice@example.org", password, PEER), Denied)


async def test_a_changed_password_ends_the_old_one_at_once(
    store: Store, login: DirectoryAuthenticator
) -> None:
    assert isinstance(await login.verify_password("alice@example.org", "correct horse", PEER), Account)
    await store.write(set_password, "alice@example.org", *hash_password("battery staple"), now=2)
    assert isinstance(await login.verify_password("alice@example.org", "correct horse", PEER), Denied)
    assert isinstance(await login.verify_password("alice@example.org", "battery staple", PEER), Account)


async def test_a_disabled_account_does_not_log_in(store: Store, login: DirectoryAuthenticator) -> None:
    await store.write(set_disabled, "alice@example.org", True)
    denied = await login.verify_password("alice@example.org", "correct horse", PEER)
    assert isinstance(denied, Denied)
    assert "disabled" in denied.text
    assert isinstance(await login.scram_succeeded("alice@example.org", PEER), Denied)


async def test_the_scram_secret_proves_the_password(login: DirectoryAuthenticator) -> None:
    secret = await login.scram_secret("alice@example.org", PEER)
    assert isinstance(secret, ScramSecret)
    salted = salted_password("correct horse", secret.salt, secret.iterations)
    assert stored_key(client_key(salted)) == secret.stored_key
    assert await login.scram_secret("nobody@example.org", PEER) is None


async def test_guessing_is_slowed_then_locked_out(login: DirectoryAuthenticator, clock: ManualClock) -> None:
    waited = []
    for _ in range(10):
        before = clock.monotonic()
        await login.verify_password("alice@example.org", "wrong", PEER)
        waited.append(clock.monotonic() - before)
    assert waited == sorted(waited)
    assert waited[0] < 1 < waited[-1] <= 8
    locked = await login.verify_password("alice@example.org", "correct horse", PEER)
    assert isinstance(locked, Denied)
    assert locked.temporary
    assert "wait" in locked.text
    assert isinstance(await login.scram_secret("alice@example.org", PEER), Denied)
    clock.advance(901)
    assert isinstance(await login.verify_password("alice@example.org", "correct horse", PEER), Account)


async def test_others_cannot_lock_an_owner_out(login: DirectoryAuthenticator) -> None:
    assert isinstance(
        await login.verify_password("alice@example.org", "correct horse", "198.51.100.7"), Account
    )
    for number in range(12):
        await login.verify_password("alice@example.org", "wrong", f"203.0.113.{number}")
    assert isinstance(
        await login.verify_password("alice@example.org", "correct horse", "198.51.100.7"), Account
    )
    stranger = await login.verify_password("alice@example.org", "correct horse", "203.0.113.99")
    assert isinstance(stranger, Denied)


async def test_exempt_addresses_are_never_slowed(login: DirectoryAuthenticator, clock: ManualClock) -> None:
    for _ in range(20):
        await login.verify_password("alice@example.org", "wrong", "::1")
    assert clock.monotonic() == 0
    assert isinstance(await login.verify_password("alice@example.org", "correct horse", "::1"), Account)
