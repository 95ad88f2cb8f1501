"""The text index: candidates by tokens, and the folded text that decides.

It is made when an account first searches text and kept up by the indexer, newest messages last; what is not indexed
yet is for the caller to scan, all but attached PDF files: reading them takes too long. So mail that nobody searches
costs nothing.
"""

from __future__ import annotations

import mmap
import tempfile
import threading
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec
import zstandard

from mailwright.message.content import UnknownEncoding, decode_octets
from mailwright.message.fold import fold
from mailwright.message.parser import parse_message
from mailwright.message.search import Attached, search_text
from mailwright.store.db.api import Transaction
from mailwright.store.errors import StoreFailed
from mailwright.store.grams import ALWAYS, grams, query
from mailwright.store.model import ID_BITS

TEXT_OCTETS = 8 * 1024 * 1024  # of a message, encoded, that are searched
DOCUMENT_TEXT = 1024 * 1024  # characters of all PDF files of a message that are searched
_IN_MEMORY = 1024 * 1024  # octets; a larger message is read from a temporary file
_LEVEL = 3
_TOKENS_CHECKED = 100  # in one statement
_MAX_CANDIDATES = 200_000  # for one needle; of one that more messages may hold, the index has little to say


class FoldedText(NamedTuple):
    """The text of a message as search compares it: needles must be folded too."""

    sender: str
    to: str
    cc: str
    bcc: str
    subject: str
    headers: list[tuple[str, str]]  # lower-case name, value
    body: str
    pdfs: Sequence[Attached] = ()  # which are kept apart, once somebody has read them


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
    grams: str  # with spaces between them
    documents: bytes | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Header).decode
_local = threading.local()


def fold_blob(tx: Transaction, blob: int, size: int) -> FoldedText:
    """The searchable text of a message of `size` octets, folded."""
    if size <= _IN_MEMORY:
        return fold_text(b"".join(tx.blobs.read(tx, blob)))
    with tempfile.TemporaryFile() as file:
        for piece in tx.blobs.read(tx, blob):
            file.write(piece)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as source:
            return fold_text(source)


def fold_text(source: bytes | mmap.mmap) -> FoldedText:
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
        text.pdfs,
    )


def prepare(message: int, text: FoldedText) -> Indexed:
    """Make a message ready for the index. It takes a millisecond or more: do it outside a write."""
    every = "\n".join(f"{name}: {value}" for name, value in text.headers)
    header = Header(text.sender, text.to, text.cc, text.bcc, text.subject, text.headers)
    return Indexed(
        message,
        _compress(_encode(header)),
        _compress(text.body.encode("utf-8", "surrogatepass")),
        " ".join(grams(f"{every}\n{text.body}")),
    )


def with_documents(message: Indexed, text: str) -> Indexed:
    """Add the text of the PDF files that are attached to a message. It takes as long as `prepare`."""
    folded = fold(text[:DOCUMENT_TEXT]).strip()
    if not folded:  # else the message would be looked at in each search
        return message
    documents = _compress(folded.encode("utf-8", "surrogatepass"))
    return replace(message, grams=" ".join({*message.grams.split(" "), *grams(folded)}), documents=documents)


def read_attached(tx: Transaction, blob: int, attached: Attached) -> bytes:
    """An attached document without its transfer encoding; nothing when nobody knows that."""
    try:
        return decode_octets(b"".join(tx.blobs.read(tx, blob, *attached[:2])), attached.encoding)
    except UnknownEncoding:
        return b""


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


def read_accounts(tx: Transaction) -> list[int]:
    """The accounts that have an index."""
    return [account for (account,) in tx.all("SELECT account FROM search_state ORDER BY account")]


def read_waiting(
    tx: Transaction, account: int, limit: int, after: int | None = None
) -> list[tuple[int, int, int]]:
    """The next messages to be indexed, their blobs and sizes, rising by id: those `after` one, or all that are not."""
    after = read_indexed(tx, account) if after is None else after
    if after is None:
        return []
    rows = tx.all(
        "SELECT id, blob, size FROM messages WHERE id > ? AND id < ? ORDER BY id LIMIT ?",
        after,
        (account + 1) << ID_BITS,
        limit,
    )
    return [(message, blob, size) for message, blob, size in rows]


def add(tx: Transaction, account: int, after: int, messages: Sequence[Indexed]) -> bool:
    """Put the messages that follow the id `after` into the index, and note that all up to the last are there.

    Messages that were removed meanwhile are passed over. What stood in the index in their places goes (see
    `restart`). False when the index does not end with `after`, since somebody else wrote or began anew meanwhile.
    """
    upto = messages[-1].message
    hold = tx.dialect.for_update  # the index; and each message, so that who removes it finds it there
    if tx.one(f"SELECT indexed FROM search_state WHERE account = ?{hold}", account) != (after,):  # noqa: S608
        return False
    _clear(tx, after, upto)
    for message in messages:
        if tx.one(f"SELECT 1 FROM messages WHERE id = ?{hold}", message.message) is None:  # noqa: S608
            continue
        tx.run(
            "INSERT INTO search_texts (message, header, body, documents) VALUES (?, ?, ?, ?)",
            message.message,
            message.header,
            message.body,
            message.documents,
        )
        _insert_grams(tx, message)
    tx.run("UPDATE search_state SET indexed = ? WHERE account = ?", upto, account)
    return True


def forget(tx: Transaction, messages: Sequence[int]) -> None:
    """Take messages that are removed out of the index."""
    column = "rowid" if tx.dialect.name == "sqlite" else "message"
    for message in messages:
        if tx.run("DELETE FROM search_texts WHERE message = ?", message):
            tx.run(f"DELETE FROM search_grams WHERE {column} = ?", message)  # noqa: S608


def drop(tx: Transaction, account: int) -> None:
    """Remove an account's index; the next search of text makes it anew."""
    tx.run("DELETE FROM search_state WHERE account = ?", account)
    _clear(tx, account << ID_BITS, (account + 1 << ID_BITS) - 1)


def restart(tx: Transaction, account: int) -> None:
    """Index an account anew while it is in use: the indexer puts new entries in the places of the old ones.

    Until it comes to a message, that message is searched as one that is not indexed.
    """
    tx.run("UPDATE search_state SET indexed = ? WHERE account = ?", account << ID_BITS, account)


def check(tx: Transaction, account: int, limit: int) -> list[str]:
    """What is wrong with an account's index, in at most `limit` sentences: each indexed message is read again.

    `restart` mends it all.
    """
    indexed = read_indexed(tx, account)
    found: list[str] = []
    if indexed is None:
        return found
    first = account << ID_BITS
    for table, word in (("search_texts", "text"), ("search_grams", "tokens")):
        column = "rowid" if (table, tx.dialect.name) == ("search_grams", "sqlite") else "message"
        rows = tx.all(
            f"SELECT {column} FROM {table} WHERE {column} > ? AND {column} <= ? AND NOT EXISTS"  # noqa: S608
            f" (SELECT 1 FROM messages WHERE id = {column}) LIMIT ?",
            first,
            indexed,
            limit,
        )
        found += [f"the index holds the {word} of message {message}, which is gone" for (message,) in rows]
    for message, blob, size in tx.all(
        "SELECT id, blob, size FROM messages WHERE id > ? AND id <= ? ORDER BY id", first, indexed
    ):
        if len(found) >= limit:
            break
        wrong = _check_message(tx, account, message, fold_blob(tx, blob, size))
        found += [f"message {message}: {wrong}"] if wrong else []
    return found[:limit]


def _check_message(tx: Transaction, account: int, message: int, text: FoldedText) -> str:
    """What is wrong with the entry of a message; '' for nothing."""
    try:
        kept = read_text(tx, message)
    except StoreFailed as error:
        return str(error)
    if kept is None:
        return "it is not in the index"
    if kept != text._replace(pdfs=()):
        return "the index holds another text"
    tokens = sorted({*prepare(message, text).grams.split(" ")} | _read_document_grams(tx, message))
    for start in range(0, len(tokens), _TOKENS_CHECKED):
        if not _has_tokens(tx, message, tokens[start : start + _TOKENS_CHECKED]):
            return "tokens are missing in the index"
    return ""


def _read_document_grams(tx: Transaction, message: int) -> Set[str]:
    """The tokens of what is kept of a message's PDF files; they are not read again, for that takes too long."""
    row = tx.one("SELECT documents FROM search_texts WHERE message = ?", message)
    return grams(_text(row[0])) if row is not None and row[0] is not None else frozenset()


# Searching


def candidates(tx: Transaction, account: int, needle: str) -> set[int] | None:
    """The indexed messages whose text may hold a folded needle; None when the index cannot tell, or not usefully."""
    wanted = query(needle)
    if wanted is None:
        return None
    first, last = account << ID_BITS, (account + 1) << ID_BITS
    tokens, prefixes = wanted
    if tx.dialect.name == "sqlite":
        match = " AND ".join([f'"{token}"' for token in tokens] + [f'"{prefix}" *' for prefix in prefixes])
        match = f'({match}) OR "{ALWAYS}"'
        rows = tx.all(
            "SELECT rowid FROM search_grams WHERE search_grams MATCH ? AND rowid > ? AND rowid < ? LIMIT ?",
            match,
            first,
            last,
            _MAX_CANDIDATES + 1,
        )
    else:
        match = " & ".join([f"'{token}'" for token in tokens] + [f"'{prefix}':*" for prefix in prefixes])
        match = f"({match}) | '{ALWAYS}'"
        rows = tx.all(
            "SELECT message FROM search_grams WHERE grams @@ CAST(? AS tsquery) AND message > ? AND message < ?"
            " LIMIT ?",
            match,
            first,
            last,
            _MAX_CANDIDATES + 1,
        )
    return {message for (message,) in rows} if len(rows) <= _MAX_CANDIDATES else None


def read_body(tx: Transaction, message: int) -> bytes | None:
    """The folded body text of a message and of its documents, in UTF-8; None when it is not in the index."""
    row = tx.one("SELECT body, documents FROM search_texts WHERE message = ?", message)
    if row is None:
        return None
    return _decompress(row[0]) if row[1] is None else _decompress(row[0]) + b"\n" + _decompress(row[1])


def read_header(tx: Transaction, message: int) -> list[tuple[str, str]] | None:
    """The names and folded values of a message's header fields; None when it is not in the index."""
    row = tx.one("SELECT header FROM search_texts WHERE message = ?", message)
    return None if row is None else _decode(_decompress(row[0])).headers


def read_text(tx: Transaction, message: int) -> FoldedText | None:
    """The folded text of a message; None when it is not in the index."""
    row = tx.one("SELECT header, body FROM search_texts WHERE message = ?", message)
    if row is None:
        return None
    header = _decode(_decompress(row[0]))
    return FoldedText(
        header.sender, header.to, header.cc, header.bcc, header.subject, header.headers, _text(row[1])
    )


def _clear(tx: Transaction, above: int, upto: int) -> None:
    """Remove the entries of the messages with ids in this range."""
    column = "rowid" if tx.dialect.name == "sqlite" else "message"
    for table, key in (("search_grams", column), ("search_texts", "message")):
        tx.run(f"DELETE FROM {table} WHERE {key} > ? AND {key} <= ?", above, upto)  # noqa: S608


def _has_tokens(tx: Transaction, message: int, tokens: Sequence[str]) -> bool:
    if tx.dialect.name == "sqlite":
        match = " AND ".join(f'"{token}"' for token in tokens)
        sql = "SELECT 1 FROM search_grams WHERE search_grams MATCH ? AND rowid = ?"
    else:
        match = " & ".join(f"'{token}'" for token in tokens)
        sql = "SELECT 1 FROM search_grams WHERE grams @@ CAST(? AS tsquery) AND message = ?"
    return tx.one(sql, match, message) is not None


def _insert_grams(tx: Transaction, message: Indexed) -> None:
    if tx.dialect.name == "sqlite":
        tx.run("INSERT INTO search_grams (rowid, grams) VALUES (?, ?)", message.message, message.grams)
        return
    lexemes = "{" + ",".join(f'"{gram}"' for gram in sorted(message.grams.split(" "))) + "}"
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
    decompressor = getattr(_local, "decompressor", None)
    if decompressor is None:
        decompressor = _local.decompressor = zstandard.ZstdDecompressor()
    try:
        return bytes(decompressor.decompress(data))
    except zstandard.ZstdError as error:
        raise StoreFailed(f"the search index is damaged ({error}); run `mailwright doctor`") from error
