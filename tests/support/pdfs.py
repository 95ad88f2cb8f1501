"""PDF files in a few lines (ISO 32000-1 7.5)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence


def pdf(*pages: str, compress: bool = False) -> bytes:
    """A file that shows one line of any script on each page, by a font that tells its characters (9.10.3)."""
    letters = sorted(set("".join(pages)))
    codes = {letter: number for number, letter in enumerate(letters, 1)}
    mapping = "".join(f"<{codes[one]:04x}> <{one.encode('utf-16-be').hex()}>\n" for one in letters)
    cmap = (
        "begincmap 1 begincodespacerange <0000> <ffff> endcodespacerange\n"
        f"{len(letters)} beginbfchar\n{mapping}endbfchar endcmap\n"
    )
    kids = " ".join(f"{6 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type0 /BaseFont /F /Encoding /Identity-H /DescendantFonts [4 0 R]"
        b" /ToUnicode 5 0 R >>",
        b"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /F /DW 1000"
        b" /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> >>",
        stream(cmap.encode(), compress=compress),
    ]
    for number, text in enumerate(pages):
        shown = "".join(f"{codes[letter]:04x}" for letter in text)
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents {7 + 2 * number} 0 R"
            " /Resources << /Font << /F 3 0 R >> >> >>".encode()
        )
        objects.append(stream(f"BT /F 12 Tf 50 700 Td <{shown}> Tj ET".encode(), compress=compress))
    return whole(objects)


def stream(data: bytes, *, compress: bool = False) -> bytes:
    """A stream object (7.3.8)."""
    coded = zlib.compress(data, 9) if compress else data
    how = b"/Filter /FlateDecode " if compress else b""
    return b"<< %b/Length %d >>\nstream\n%b\nendstream" % (how, len(coded), coded)


def whole(objects: Sequence[bytes]) -> bytes:
    """A file of these objects, numbered from 1 on, of which the first is the catalogue."""
    out = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)
