"""The text of attached office documents: found, bounded, and never a failure."""

from __future__ import annotations

import base64
import io
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailwright.message import document
from mailwright.message.document import document_text
from mailwright.message.parser import parse_message
from mailwright.message.search import search_text


def zipped(members: dict[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


WORD = (
    '<?xml version="1.0"?><w:document><w:body>'
    "<w:p><w:r><w:t>Quart</w:t></w:r><w:r><w:t>erly &amp; report</w:t></w:r></w:p>"
    "<w:p><w:r><w:t>第二段：预算</w:t></w:r></w:p></w:body></w:document>"
)
SHEET = (
    "<worksheet><c t='s'><v>0</v></c><c t='inlineStr'><is><t>inline</t></is></c>"
    "<c><f>SUM(A1)</f><v>42</v></c></worksheet>"
)


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"word/document.xml": WORD}, "Quarterly & report\n第二段：预算"),
        (
            {"word/document.xml": WORD, "word/footnotes.xml": "<w:p><w:t>note</w:t></w:p>"},
            "Quarterly & report\n第二段：预算\nnote",
        ),
        (
            {
                "xl/sharedStrings.xml": "<sst><si><t>Name</t></si><si><r><t>A</t></r><r><t>nn</t></r></si></sst>"
            },
            "Name\nAnn",
        ),
        ({"xl/worksheets/sheet1.xml": SHEET}, "inline"),
        ({"ppt/slides/slide1.xml": "<a:p><a:t>Title</a:t></a:p><a:p><a:t>Point</a:t></a:p>"}, "Title\nPoint"),
        ({"mimetype": "x", "content.xml": "<text:h>Head</text:h><text:p>a<text:s/>b</text:p>"}, "Head\na\nb"),
        ({"readme.txt": "not a document", "word/theme/theme1.xml": "<a:p>no</a:p>"}, ""),
        ({}, ""),
    ],
)
def test_text(members: dict[str, str | bytes], text: str) -> None:
    assert document_text(zipped(members)) == text


def test_nothing_is_expanded_and_no_bomb_goes_off() -> None:
    entities = '<!DOCTYPE x [<!ENTITY a "boom">]><w:p><w:t>&a;</w:t></w:p>'
    assert "&a;" in document_text(zipped({"word/document.xml": entities}))
    bomb = document_text(zipped({"word/document.xml": b"a" * 100_000_000}))
    assert len(bomb) == document.MAX_TEXT
    many = zipped(
        {f"ppt/slides/slide{number}.xml": "<a:p>x</a:p>" for number in range(4001)}, zipfile.ZIP_STORED
    )
    assert document_text(many) == ""
    large = zipped({"word/document.xml": WORD, "media": bytes(document.MAX_DOCUMENT)}, zipfile.ZIP_STORED)
    assert document_text(large) == ""


def test_what_is_broken_has_no_text() -> None:
    whole = zipped({"word/document.xml": WORD})
    assert document_text(whole[:-30]) == ""
    assert document_text(b"PK\x03\x04") == ""
    assert document_text(b"%PDF-1.7") == ""
    assert document_text(whole.replace(zlib.compress(b"")[:1], b"\xff")) in (
        "",
        "Quarterly & report\n第二段：预算",
    )
    encrypted = bytearray(whole)
    for at in (whole.index(b"PK\x03\x04") + 6, whole.index(b"PK\x01\x02") + 8):
        encrypted[at] |= 1
    assert document_text(bytes(encrypted)) == ""


@given(st.data())
def test_damage_never_raises(data: st.DataObject) -> None:
    damaged = bytearray(zipped({"word/document.xml": WORD, "word/header1.xml": WORD}))
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(4, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    document_text(bytes(damaged))


def message(attachment: bytes, kind: str = "application/octet-stream", encoding: str = "base64") -> bytes:
    body = base64.encodebytes(attachment).replace(b"\n", b"\r\n") if encoding == "base64" else attachment
    return (
        b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\n\r\nhello\r\n--b\r\nContent-Type: "
        + kind.encode()
        + b"\r\nContent-Transfer-Encoding: "
        + encoding.encode()
        + b"\r\n\r\n"
        + body
        + b"\r\n--b--\r\n"
    )


def body_of(source: bytes, limit: int = 4_000_000) -> str:
    return search_text(parse_message(source), source, limit).body


def test_an_attached_document_is_text_of_the_message() -> None:
    whole = zipped({"word/document.xml": WORD})
    assert "Quarterly & report" in body_of(message(whole))
    assert "Quarterly & report" in body_of(message(whole, "application/vnd.openxmlformats-officedocument"))
    assert "Quarterly & report" in body_of(message(whole, encoding="binary"))
    inner = b"Content-Type: message/rfc822\r\n\r\n" + message(whole)
    assert "第二段：预算" in body_of(inner)


def test_other_attachments_are_not() -> None:
    whole = zipped({"word/document.xml": WORD})
    assert body_of(message(whole, encoding="x-nobody-knows")).strip() == "hello"
    assert body_of(message(whole, "image/png")).strip() == "hello"
    assert body_of(message(b"%PDF-1.7 text")).strip() == "hello"
    assert body_of(message(whole), limit=300).strip() == "hello"  # there is no room for it
