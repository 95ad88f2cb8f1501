"""The text of office documents: Word, Excel, PowerPoint (OOXML) and OpenDocument, which are XML in ZIP files.

Only what a search needs: the words in their order, a line for each paragraph or cell. The XML is not parsed, so that
nothing in it is resolved or expanded.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from html import unescape
from typing import Final

SIGNATURE: Final = b"PK\x03\x04"
MAX_DOCUMENT: Final = 16 * 1024 * 1024  # octets of a ZIP file that is opened
MAX_TEXT: Final = 2 * 1024 * 1024  # octets of XML that are read of one document
_MAX_ENTRIES: Final = 4000
_ENTRY: Final = b"PK\x01\x02"

# The members that hold text, in the order in which they are read.
_MEMBERS: Final = re.compile(
    r"word/(?:document|header\d*|footer\d*|footnotes|endnotes|comments)\.xml"
    r"|xl/sharedStrings\.xml|xl/worksheets/sheet\d+\.xml"
    r"|ppt/(?:slides/slide|notesSlides/notesSlide)\d+\.xml"
    r"|content\.xml"
)
_BREAK: Final = re.compile(
    r"</(?:w:p|a:p|text:p|text:h|si|is|w:tc)>|<(?:w:br|w:tab|a:br|text:line-break|text:tab|text:s)\b[^<>]*>"
)
_TAG: Final = re.compile(r"<[^<>]*>")
_NUMBERS: Final = re.compile(
    r"<v>[^<>]*</v>|<f\b[^<>]*>[^<>]*</f>"
)  # of a sheet: indexes of strings, and formulas


def document_text(data: bytes) -> str:
    """The text of a document; '' for what is none, is broken or is too large. Never raises."""
    if not data.startswith(SIGNATURE) or len(data) > MAX_DOCUMENT or data.count(_ENTRY) > _MAX_ENTRIES:
        return ""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return "\n".join(_texts(archive))
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError, EOFError, ValueError):
        return ""  # encrypted, cut off, or of a kind that nobody knows


def _texts(archive: zipfile.ZipFile) -> list[str]:
    texts: list[str] = []
    room = MAX_TEXT
    for name in archive.namelist():
        if room <= 0:
            break
        if _MEMBERS.fullmatch(name) is not None:
            with archive.open(name) as member:
                xml = member.read(room)
            room -= len(xml)
            texts.append(_text(xml.decode("utf-8", "replace")))
    return texts


def _text(xml: str) -> str:
    return unescape(_TAG.sub("", _BREAK.sub("\n", _NUMBERS.sub(" ", xml)))).strip()
