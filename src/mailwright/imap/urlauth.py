"""Signs URLs of messages, and finds what a signed one names (RFC 4467)."""

from __future__ import annotations

import hmac
from typing import Final

from mailwright.imap.fetch.source import Source, find_source
from mailwright.imap.syntax.url import ImapUrl
from mailwright.store import acl
from mailwright.store.acl import Access, InvalidIdentifier
from mailwright.store.db.api import Transaction
from mailwright.store.errors import NoRight, NoSuchMailbox, NoSuchMessage
from mailwright.store.url_keys import find_key, find_signer, take_key

MECHANISM: Final = "INTERNAL"


def sign(tx: Transaction, account: int, url: ImapUrl) -> str:
    """The token that authorises a URL of one's own. Raises NoSuchMailbox, NoRight."""
    assert url.mailbox is not None
    if find_user(tx, url.address) != account:
        raise NoRight("the URL belongs to somebody else; put your own address into it")
    access = _open(tx, account, url.mailbox, url.uidvalidity)
    return _token(take_key(tx, account, access), url.rump)


def find_signed(tx: Transaction, account: int, url: ImapUrl, now: int) -> Source:
    """What a signed URL names, for whom it lets have it. Raises NoSuchMessage, NoSuchMailbox, NoRight."""
    signer = find_user(tx, url.address)
    if signer is None or url.mailbox is None or url.mechanism != MECHANISM:
        raise NoSuchMessage("nobody signed this URL")
    access = _open(tx, signer, url.mailbox, url.uidvalidity)
    key = find_key(tx, signer, access)
    if key is None or not hmac.compare_digest(_token(key, url.rump), url.token):
        raise NoSuchMessage("the signature of the URL is wrong, or its key was reset")
    if url.expires is not None and url.expires < now:
        raise NoSuchMessage("the URL has expired")
    if not _lets_in(tx, account, url.access):
        raise NoRight("the URL is meant for somebody else")
    return find_source(tx, signer, url.mailbox, url.uidvalidity, url.uid, url.section)


def _lets_in(tx: Transaction, account: int, access: str) -> bool:
    """RFC 4467 3: who may use the URL. `submit+` means a submission server, which no account is."""
    kind, _, user = access.partition("+")
    if kind.lower() == "user":
        return find_user(tx, user) == account
    return access.lower() in ("anonymous", "authuser")


def _open(tx: Transaction, account: int, name: str, uidvalidity: int) -> Access:
    access = acl.resolve(tx, account, name)
    access.need("r")
    if uidvalidity not in (0, access.mailbox.uidvalidity):
        raise NoSuchMailbox("the mailbox has another UIDVALIDITY")
    return access


def find_user(tx: Transaction, user: str) -> int | None:
    """The account whose address stands in a URL."""
    try:
        return find_signer(tx, acl.normal_identifier(user))
    except InvalidIdentifier:
        return None


def _token(key: bytes, rump: bytes) -> str:
    return hmac.digest(key, rump, "sha256").hex()
