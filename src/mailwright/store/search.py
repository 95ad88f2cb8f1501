"""The text index: candidates by tokens, and the folded text that decides.

It is made when an account first searches text and kept up by the indexer, newest messages last; what is not indexed
yet is for the caller to scan. So mail that nobody searches costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import zstandard

from mailwright.message.fold import fold
from mailwright.message.parser import parse_message
from mailwright.message.search import search_text
from mailwright.store.db.api import Transaction
from mailwright.store.errors import StoreFailed
from mailwright.store.grams import ALWAYS, grams, query
from mailwright.store.model import ID_BITS

TEXT_OCTETS = 8 * 1024 * 1024  # of a message, encoded, that are searched
_LEVEL = 3


class FoldedText(NamedTuple):
    """The text of a message as search compares it: needles must be folded too."""

    sender: str
    to: str
    cc: str
    bcc: str
    subject: str
    headers: list[tuple[str, str]]  # lower-case name, value
    body: str


class Header(msgspec.Struct, array_like=True, frozen=True):
    """How the header's part of a FoldedText is kept."""

    sender: str
    to: str
    cc: str
    bcc: str
    subject: str
    headers: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Indexed:
    """A message made ready for the index."""

    message: int
    header: bytes
    body: bytes
    grams: frozenset[str]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Header).decode


def fold_text(source: bytes) -> FoldedText:
    """The searchable text of a message, folded."""
    text = search_text(parse_message(source), source, TEXT_OCTETS)
    return FoldedText(
        fold(text.sender),
        fold(text.to),
        fold(text.cc),
        fold(text.bcc),
        fold(text.subject),
        [(name, fold(value)) for name, value in text.headers],
        fold(text.body),
    )


def prepare(message: int, text: FoldedText) -> Indexed:
    """Make a message ready for the index. It takes a millisecond or more: do it outside a write."""
    every = "\n".join(value for _, value in text.headers)
    header = Header(text.sender, text.to, text.cc, text.bcc, text.subject, text.headers)
    return Indexed(
        message,
        _compress(_encode(header)),
        _compress(text.body.encode("utf-8", "surrogatepass")),
        frozenset(grams(f"{every}\n{text.body}")),
    )


# Keeping the index


def read_indexed(tx: Transaction, account: int) -> int | None:
    """The id up to which messages are in the index; None when the account has no index."""
    row = tx.one("SELECT indexed FROM search_state WHERE account = ?", account)
    return int(row[0]) if row is not None else None


def begin(tx: Transaction, account: int) -> None:
    """Give the account an index, empty at first."""
    tx.run(
        "INSERT INTO search_state (account, indexed) VALUES (?, ?) ON CONFLICT DO NOTHING",
        account,
        account << ID_BITS,
    )


def read_waiting(tx: Transaction, account: int, limit: int) -> list[tuple[int, int]]:
    """The next messages to be indexed, and their blobs, rising by id."""
    indexed = read_indexed(tx, account)
    if indexed is None:
        return []
    rows = tx.all(
        "SELECT id, blob FROM messages WHERE id > ? AND id < ? ORDER BY id LIMIT ?",
        indexed,
        (account + 1) << ID_BITS,
        limit,
    )
    return [(message, blob) for message, blob in rows]


def add(tx: Transaction, account: int, upto: int, messages: Sequence[Indexed]) -> None:
    """Put messages into the index, and note that all up to the id `upto` are there.

    Messages that were removed meanwhile, and those that another process indexed first, are passed over.
    """
    indexed = read_indexed(tx, account)
    if indexed is None or upto <= indexed:
        return
    for message in messages:
        if (
            message.message <= indexed
            or tx.one("SELECT 1 FROM messages WHERE id = ?", message.message) is None
        ):
            continue
        tx.run(
            "INSERT INTO search_texts (message, header, body) VALUES (?, ?, ?)",
            message.message,
            message.header,
            message.body,
        )
        _insert_grams(tx, message)
    tx.run("UPDATE search_state SET indexed = ? WHERE account = ?", upto, account)


def forget(tx: Transaction, messages: Sequence[int]) -> None:
    """Take messages that are removed out of the index."""
    column = "rowid" if tx.dialect.name == "sqlite" else "message"
    for message in messages:
        if tx.run("DELETE FROM search_texts WHERE message = ?", message):
            tx.run(f"DELETE FROM search_grams WHERE {column} = ?", message)  # noqa: S608


def drop(tx: Transaction, account: int) -> None:
    """Remove an account's index; the next search of text makes it anew."""
    first, last = account << ID_BITS, (account + 1) << ID_BITS
    column = "rowid" if tx.dialect.name == "sqlite" else "message"
    tx.run(f"DELETE FROM search_grams WHERE {column} > ? AND {column} < ?", first, last)  # noqa: S608
    tx.run("DELETE FROM search_texts WHERE message > ? AND message < ?", first, last)
    tx.run("DELETE FROM search_state WHERE account = ?", account)


# Searching


def candidates(tx: Transaction, account: int, needle: str) -> set[int] | None:
    """The indexed messages whose text may hold a folded needle; None when the index cannot tell."""
    wanted = query(needle)
    if wanted is None:
        return None
    first, last = account << ID_BITS, (account + 1) << ID_BITS
    tokens, prefixes = wanted
    if tx.dialect.name == "sqlite":
        match = " AND ".join([f'"{token}"' for token in tokens] + [f'"{prefix}" *' for prefix in prefixes])
        match = f'({match}) OR "{ALWAYS}"'
        rows = tx.all(
            "SELECT rowid FROM search_grams WHERE search_grams MATCH ? AND rowid > ? AND rowid < ?",
            match,
            first,
            last,
        )
    else:
        match = " & ".join([f"'{token}'" for token in tokens] + [f"'{prefix}':*" for prefix in prefixes])
        match = f"({match}) | '{ALWAYS}'"
        rows = tx.all(
            "SELECT message FROM search_grams WHERE grams @@ CAST(? AS tsquery) AND message > ? AND message < ?",
            match,
            first,
            last,
        )
    return {message for (message,) in rows}


def read_body(tx: Transaction, message: int) -> str | None:
    """The folded body text of a message; None when it is not in the index."""
    row = tx.one("SELECT body FROM search_texts WHERE message = ?", message)
    return None if row is None else _text(row[0])


def read_text(tx: Transaction, message: int) -> FoldedText | None:
    """The folded text of a message; None when it is not in the index."""
    row = tx.one("SELECT header, body FROM search_texts WHERE message = ?", message)
    if row is None:
        return None
    header = _decode(_decompress(row[0]))
    return FoldedText(
        header.sender, header.to, header.cc, header.bcc, header.subject, header.headers, _text(row[1])
    )


def read_bodies(tx: Transaction, first: int, last: int) -> Iterator[tuple[int, str]]:
    """The ids and folded bodies of the indexed messages from id `first` to `last`."""
    for message, body in tx.rows(
        "SELECT message, body FROM search_texts WHERE message >= ? AND message <= ? ORDER BY message",
        first,
        last,
    ):
        yield message, _text(body)


def _insert_grams(tx: Transaction, message: Indexed) -> None:
    if tx.dialect.name == "sqlite":
        tx.run(
            "INSERT INTO search_grams (rowid, grams) VALUES (?, ?)", message.message, " ".join(message.grams)
        )
        return
    lexemes = "{" + ",".join(f'"{gram}"' for gram in sorted(message.grams)) + "}"
    tx.run(
        "INSERT INTO search_grams (message, grams) VALUES (?, array_to_tsvector(CAST(? AS text[])))",
        message.message,
        lexemes,
    )


def _text(packed: bytes) -> str:
    return _decompress(packed).decode("utf-8", "surrogatepass")


def _compress(data: bytes) -> bytes:
    return zstandard.compress(data, _LEVEL)


def _decompress(data: bytes) -> bytes:
    try:
        return zstandard.decompress(data)
    except zstandard.ZstdError as error:
        raise StoreFailed(f"the search index is damaged ({error}); run `mailwright doctor`") from error
