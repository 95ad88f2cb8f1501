"""The text of PDF files, read by a real child process: found, bounded, and never a failure."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import time
from pathlib import Path

import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pdfs import pdf, stream, whole

from mailwright.message.search import MAX_PDF
from mailwright.pdf import child, reader
from mailwright.pdf.child import write_text
from mailwright.pdf.reader import pdf_text


async def test_every_script_is_read_page_by_page() -> None:
    found = await pdf_text(pdf("Quarterly report", "预算 2026", "Привет мир", "こんにちは", compress=True))
    assert found.split("\n") == ["Quarterly report", "预算 2026", "Привет мир", "こんにちは", ""]


async def test_fonts_that_only_name_their_characters_are_read() -> None:
    """WinAnsiEncoding, and the predefined CMaps of Chinese fonts (ISO 32000-1 9.7.5.2)."""
    chinese = (
        "<< /Type /Font /Subtype /Type0 /BaseFont /STSong-Light /Encoding /%s /DescendantFonts [<< /Type /Font"
        " /Subtype /CIDFontType0 /BaseFont /STSong-Light"
        " /CIDSystemInfo << /Registry (Adobe) /Ordering (GB1) /Supplement 2 >> >>] >>"
    )
    latin = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
    fonts = f"/A {latin} /B {chinese % 'UniGB-UCS2-H'} /C {chinese % 'GBK-EUC-H'}"
    page = (
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R"
        f" /Resources << /Font << {fonts} >> >> >>"
    )
    shown = (
        r"BT /A 12 Tf 50 700 Td (Gr\374\337e aus K\366ln) Tj ET"
        f" BT /B 12 Tf 50 600 Td <{'预算计划'.encode('utf-16-be').hex()}> Tj ET"
        f" BT /C 12 Tf 50 500 Td <{'会议'.encode('gbk').hex()}> Tj ET"
    )
    tree = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
    file = whole([b"<< /Type /Catalog /Pages 2 0 R >>", tree, page.encode(), stream(shown.encode())])
    assert (await pdf_text(file)).split("\n") == ["Grüße aus Köln", "预算计划", "会议", ""]


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-128", "AES-256"])
@pytest.mark.parametrize("password", ["", "needed"])
async def test_a_file_that_is_encrypted_is_read_if_that_takes_no_password(
    algorithm: str, password: str
) -> None:
    writer = pypdf.PdfWriter(clone_from=pypdf.PdfReader(io.BytesIO(pdf("秘密 plan"))))
    writer.encrypt(password, "the owner's", algorithm=algorithm)
    file = io.BytesIO()
    writer.write(file)
    assert (await pdf_text(file.getvalue())).strip() == ("" if password else "秘密 plan")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"%PDF-1.7 and nothing more",
        b"no PDF at all",
        pdf("cut off")[:400],
        b"%PDF-1.7\n" + os.urandom(5000),
        pdf("x").replace(b"/Kids [6 0 R]", b"/Kids [2 0 R]"),  # a tree that bites its tail
        b"x" * (MAX_PDF + 1),
    ],
    ids=["empty", "begun", "other", "cut", "noise", "loop", "large"],
)
async def test_what_cannot_be_read_has_no_text(data: bytes) -> None:
    assert (await pdf_text(data)).strip() == ""


async def test_a_broken_page_does_not_take_the_others_with_it() -> None:
    data = pdf("first page", "second page", "third page")
    at = data.index(b"stream\nBT", data.index(b"stream\nBT") + 1)
    found = await pdf_text(data[:at] + data[at:].replace(b"BT /F 12 Tf", b"BT ((((((((((", 1))
    assert "first page" in found
    assert "third page" in found


async def test_one_page_that_unpacks_to_a_gigaoctet_takes_neither_memory_nor_time() -> None:
    bomb = whole(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R >>",
            stream(b"q Q " * (64 << 20), compress=True),
        ]
    )
    assert len(bomb) < 1 << 20
    assert (await pdf_text(bomb)).strip() == ""


def test_the_text_of_many_pages_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "MAX_TEXT", 100_000)
    output = io.BytesIO()
    write_text(pdf(*["预算 " * 5000] * 8), output)
    text = output.getvalue().decode()
    assert 100_000 <= len(text) <= 100_100


def hanging(told: Path) -> str:
    """A program that tells its process id, writes something and then does nothing more."""
    return (
        f"import os, time; open({str(told)!r}, 'w').write(str(os.getpid()));"
        " print('so far', flush=True); time.sleep(600)"
    )


async def test_a_child_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = tmp_path / "pid"
    monkeypatch.setattr(reader, "_COMMAND", (*reader._COMMAND[:1], "-c", hanging(told)))
    began = time.monotonic()
    for patience in (1.0, 5.0, 25.0):  # however long it takes until it has told something
        monkeypatch.setattr(reader, "_PATIENCE", patience)
        if found := await pdf_text(b"%PDF-"):
            break
    assert found == "so far\n"
    assert time.monotonic() - began < 300
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.read_text()), 0)


async def test_a_child_that_dies_early_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    die = f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})"
    monkeypatch.setattr(reader, "_COMMAND", (*reader._COMMAND[:1], "-c", die))
    assert await pdf_text(b"%PDF-" + bytes(4 << 20)) == ""
    monkeypatch.setattr(reader, "_COMMAND", ("/absent",))
    assert await pdf_text(b"%PDF-") == ""


async def test_who_waits_for_a_child_and_goes_takes_it_along(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = tmp_path / "pid"
    monkeypatch.setattr(reader, "_COMMAND", (*reader._COMMAND[:1], "-c", hanging(told)))
    task = asyncio.create_task(pdf_text(b"%PDF-"))
    while not told.exists() or not told.read_text():
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.read_text()), 0)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 2000), st.integers(0, 50))
def test_no_damage_raises(noise: bytes, at: int, cut: int) -> None:
    data = pdf("some text", "more of it", compress=True)
    write_text(data[:at] + noise + data[at + cut :], io.BytesIO())
