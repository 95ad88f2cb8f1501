"""How octets look in storage: what was written once is read for ever, and what is damaged is told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from mailwright.store.blobs import dictionaries
from mailwright.store.blobs.codec import Codec
from mailwright.store.db.api import Database, Transaction
from mailwright.store.errors import NotAllowed, StoreFailed
from mailwright.store.learning import train

MESSAGE = (
    b'From: a@example.org\r\nSubject: Hello\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset="utf-8"\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\nSGVsbG8=\r\n"
)
LONG = MESSAGE + b"R3LDvMOfZSBhdXMgS8O2bG4uIEdyw7zDn2UgYXVzIEvDtmxuLiBHcsO8w59lIGF1cyBLw7ZsbiE=\r\n"
LONG = LONG.replace(b"SGVsbG8=\r\n", b"")
SHIPPED = {  # what the dictionary that is shipped packs to; the first form is that of the first versions
    bytes.fromhex(
        "0128b52ffd2492950100f061406578616d706c652e6f726748656c6c6f0d0a534756736247383d0d0a060045ad09ceb"
        "bc0641560ebd75ec67c1d54100ef59596"
    ): MESSAGE,
    b"\x00ab": b"ab",
    b"\x00": b"",
    b'("text" "plain"': b'("text" "plain"',
}
codec = Codec()


class NoDatabase:
    """For what needs no dictionary of the database."""

    def one(self, sql: str, *params: object) -> None:
        assert sql.startswith("SELECT data, hash FROM dictionaries")


NO_DATABASE: Transaction = NoDatabase()  # type: ignore[assignment]


def unpack_chunks(codec: Codec, column: list[bytes], tx: Transaction = NO_DATABASE) -> list[bytes]:
    return [b"".join(pieces) for pieces in codec.unpack_chunks(tx, column)]


def test_a_page_that_is_asked_for_again_is_not_unpacked_again() -> None:
    codec = Codec()
    texts = [b"(%d)" % number + MESSAGE * 3 for number in range(50)]
    page = codec.pack(texts)
    assert codec.unpack_all(NO_DATABASE, page[:30]) == texts[:30]
    assert codec.unpack_all(NO_DATABASE, page[20:]) == texts[20:]
    codec._dictionaries.clear()
    with ThreadPoolExecutor(1) as other:  # which has nothing to unpack with
        assert other.submit(codec.unpack_all, NO_DATABASE, page[::-1]).result() == texts[::-1]
        with pytest.raises(StoreFailed):
            other.submit(codec.unpack_all, NO_DATABASE, page * 5).result()


@pytest.mark.parametrize("stored", SHIPPED)
def test_what_was_stored_is_read(stored: bytes) -> None:
    assert codec.unpack(NO_DATABASE, stored) == SHIPPED[stored]


@given(st.binary(max_size=300) | st.builds(bytes.__mul__, st.binary(max_size=9), st.integers(0, 3000)))
def test_any_octets_come_back(content: bytes) -> None:
    for stored in (codec.pack([content])[0], codec.pack_chunk(content)):
        assert len(stored) <= len(content) + 1
        assert codec.unpack(NO_DATABASE, stored) == content
        assert codec.unpack_all(NO_DATABASE, [stored, stored]) == [content, content]
        assert unpack_chunks(codec, [stored, b"\x00", stored]) == [content, b"", content]


@given(st.lists(st.binary(max_size=60) | st.builds(bytes.__mul__, st.binary(max_size=3), st.integers(0, 99))))
def test_many_are_packed_as_each_alone(contents: list[bytes]) -> None:
    assert codec.pack(contents) == [codec.pack([content])[0] for content in contents]
    assert codec.pack_chunks(contents) == [codec.pack_chunk(content) for content in contents]


def test_a_chunk_with_encoded_bodies_is_smaller_for_it() -> None:
    stored = codec.pack_chunk(LONG)
    assert stored[:2] == b"\x03\x00"
    assert codec.unpack(NO_DATABASE, stored) == LONG
    assert unpack_chunks(codec, [stored, *SHIPPED, stored]) == [LONG, *SHIPPED.values(), LONG]


def content_or_fault(stored: bytes) -> bytes | str:
    """The content, or the word that tells what is wrong."""
    try:
        return codec.unpack(NO_DATABASE, stored)
    except StoreFailed as error:
        return next(word for word in ("damaged", "dictionary") if word in str(error))


@pytest.mark.parametrize(
    "stored", [codec.pack_chunk(LONG), codec.pack_chunk(b"text " * 100), *list(SHIPPED)[:1]]
)
def test_each_damaged_octet_of_a_chunk_is_told(stored: bytes) -> None:
    content = codec.unpack(NO_DATABASE, stored)
    for place in range(1, len(stored)):  # that the method is another is found by the size
        for bit in (1, 0x80):
            damaged = stored[:place] + bytes([stored[place] ^ bit]) + stored[place + 1 :]
            assert content_or_fault(damaged) in (content, "damaged", "dictionary")


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        (b"", "unknown method"),
        (b"\x04abc", "unknown method"),
        (b"\x02", "damaged"),
        (b"\x02\x00nonsense", "damaged"),
        (b"\x03\x00", "damaged"),
        (b"\x01", "damaged"),
        (b"\x02\x07abc", "dictionary 7 is missing"),
    ],
)
def test_what_cannot_be_read_says_so(stored: bytes, told: str) -> None:
    with pytest.raises(StoreFailed, match=told):
        codec.unpack(NO_DATABASE, stored)
    with pytest.raises(StoreFailed, match=told):
        codec.unpack_all(NO_DATABASE, [b"\x00", stored])
    with pytest.raises(StoreFailed, match=told):
        codec.unpack_chunks(NO_DATABASE, [b"\x00", codec.pack_chunk(LONG), stored])


def learned() -> bytes:
    data = train(
        [b"%d green bottles, hanging on the wall number %d\r\n" % (n, n * 7) * 3 for n in range(400)]
    )
    assert data is not None
    return data


async def test_a_learned_dictionary_serves_other_processes_too(db: Database) -> None:
    text = b"99 green bottles, hanging on the wall"
    writer = Codec()
    before = len(writer.pack([text])[0])
    number = await db.write(dictionaries.keep, learned(), 300, 1_700_000_000)
    assert await db.read(dictionaries.read_newest) == (number, 300) == (1, 300)
    writer.adopt(number, learned())
    stored = writer.pack([text])[0]
    assert stored[1] == number
    assert len(stored) < before
    assert await db.read(lambda tx: Codec().unpack(tx, stored)) == text
    assert await db.read(lambda tx: Codec().unpack_all(tx, [stored, b"plain", stored])) == [
        text,
        b"plain",
        text,
    ]
    assert await db.read(lambda tx: unpack_chunks(Codec(), [stored, b"plain"], tx)) == [text, b"plain"]


@pytest.mark.parametrize("damaged", [b"other", b"", zstandard.FRAME_HEADER, zstandard.compress(b"other")])
async def test_a_damaged_dictionary_is_told(db: Database, damaged: bytes) -> None:
    await db.write(dictionaries.keep, learned(), 300, 1_700_000_000)
    await db.write(lambda tx: tx.run("UPDATE dictionaries SET data = ?", damaged))
    with pytest.raises(StoreFailed, match=r"dictionary 1 .* damaged; restore a backup"):
        await db.read(lambda tx: dictionaries.read(tx, 1))


async def test_a_dictionary_is_kept_compressed_but_by_the_first_versions(db: Database) -> None:
    await db.write(dictionaries.keep, learned(), 300, 1_700_000_000)
    kept = await db.read(lambda tx: tx.one("SELECT data FROM dictionaries"))
    assert kept is not None
    assert len(kept[0]) < len(learned())
    assert await db.read(lambda tx: dictionaries.read(tx, 1)) == learned()
    await db.write(lambda tx: tx.run("UPDATE dictionaries SET data = ?", learned()))
    assert await db.read(lambda tx: dictionaries.read(tx, 1)) == learned()


async def test_dictionaries_are_no_more_than_their_numbers(db: Database) -> None:
    await db.write(
        lambda tx: tx.run(
            "INSERT INTO dictionaries (number, data, hash, blobs, learned_at) VALUES (255, ?, ?, 1, 1)",
            b"",
            b"",
        )
    )
    with pytest.raises(NotAllowed, match="255"):
        await db.write(dictionaries.keep, b"x", 1, 1)
