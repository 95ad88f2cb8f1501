"""The first words of a message (RFC 8970), and whether something is attached to it."""

from __future__ import annotations

import mmap
import re
import unicodedata
from typing import Final

from mailwright.message.content import html_to_text, part_text
from mailwright.message.part import Part

MAX_PREVIEW: Final = 200  # characters, RFC 8970 3.2
_TEXT_OCTETS: Final = 8192  # of the encoded body
_HTML_OCTETS: Final = 65_536
_MOSTLY: Final = 320  # characters, which mostly fill a preview
_ENOUGH: Final = 768

_ATTRIBUTION: Final = re.compile(
    r"^(?:On\b.{0,200}\bwrote|Am\b.{0,200}\bschrieb\b.{0,80}|.{0,200}\bwrote|.{0,200}写道)\s*[:：]$"
)
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u180e\u200b\u200e\u200f\u2060-\u2064\ufeff\x00-\x08\x0e-\x1f\x7f]+"
)
_FLAG_LETTERS: Final = "".join([chr(code) for code in range(0x1F1E6, 0x1F200)])  # two of them are a flag
_LONE_JOINER: Final = re.compile("(?<!\\S)[\u200c\u200d]+(?!\\S)")


def preview(root: Part, source: bytes | mmap.mmap) -> str:
    """At most 200 characters of the message's text on one line, "" when it has none (RFC 8970 2)."""
    plain, html = _text_parts(root)
    if plain is not None:
        text = _own_words(part_text(plain, source, _TEXT_OCTETS))
        if text:
            return _cut(text)
    if html is not None:
        return _cut(_squeeze(html_to_text(part_text(html, source, _HTML_OCTETS))))
    return ""


def _text_parts(root: Part) -> tuple[Part | None, Part | None]:
    """The first plain and the first HTML part that are shown; those of attached messages are not."""
    plain: Part | None = None
    html: Part | None = None
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if part.type == "multipart":
            waiting.extend(reversed(part.children))
        elif part.type == "text" and part.disposition != "attachment" and part.end > part.body_start:
            if part.subtype == "html":
                html = html or part
            elif plain is None and part.subtype in ("plain", "enriched", "markdown"):
                plain = part
                if html is None:
                    return plain, None if root is part else _first_html(waiting)
    return plain, html


def _first_html(waiting: list[Part]) -> Part | None:
    while waiting:
        part = waiting.pop()
        if part.type == "multipart":
            waiting.extend(reversed(part.children))
        elif part.type == "text" and part.subtype == "html" and part.disposition != "attachment":
            return part
    return None


def _own_words(text: str) -> str:
    """The text on one line, without quoted lines and the line that introduces them where others remain."""
    if ">" not in text or ("\n>" not in text and text[:1] != ">"):
        return _squeeze(text)
    own: list[str] = []
    size = 0
    for line in text.split("\n"):
        if line[:1] == ">":
            while own and not own[-1].strip():
                own.pop()
            if own and _ATTRIBUTION.match(own[-1].strip()[-300:]):
                own.pop()
        elif size > _ENOUGH:
            break
        else:
            own.append(line)
            size += len(line)
    return _squeeze("\n".join(own)) or _squeeze(text)


def _squeeze(text: str) -> str:
    """The beginning of a text on one line, without what fills space unseen (mailers pad previews with it)."""
    line = _spaced(text[:_MOSTLY])
    if len(line) <= MAX_PREVIEW < len(text):
        line = _spaced(text[:_TEXT_OCTETS])
    if line.isprintable():  # so there is no other white space
        return line
    line = " ".join(text[:_MOSTLY].split())
    if len(line) <= MAX_PREVIEW < len(text):
        line = " ".join(text[:_TEXT_OCTETS].split())
    if line.isprintable() or (not _INVISIBLE.search(line, 0, _ENOUGH) and "\u200c" not in line):
        return line
    line = _INVISIBLE.sub("", " ".join(text[:_TEXT_OCTETS].split()))
    return " ".join(_LONE_JOINER.sub("", line).split())


def _spaced(text: str) -> str:
    """The text with one space for each run of line ends and spaces."""
    text = text.replace("\r\n", " ").strip(" ")
    while "  " in text:
        text = text.replace("  ", " ")
    return text


def _cut(text: str) -> str:
    """At most 200 characters, cut between graphemes."""
    if len(text) <= MAX_PREVIEW:
        return text
    end = MAX_PREVIEW
    while end > MAX_PREVIEW - 32 and _joins(text, end):
        end -= 1
    return text[:end].rstrip()


def _joins(text: str, end: int) -> bool:
    before, after = text[end - 1], text[end]
    if after < "\u0300":
        return False
    if after in _FLAG_LETTERS:
        return (end - len(text[:end].rstrip(_FLAG_LETTERS))) % 2 == 1
    return (
        before == "\u200d"
        or after == "\u200d"
        or "\ufe00" <= after <= "\ufe0f"
        or "\U0001f3fb" <= after <= "\U0001f3ff"
        or "\u1160" <= after <= "\u11ff"  # the vowel or the last consonant of a Korean syllable
        or unicodedata.category(after) in ("Mn", "Me", "Mc")
    )


def has_attachment(root: Part) -> bool:
    """Whether a client would show an attachment: anything but the body's text and what it displays inline.

    RFC 8621 4.1.4 leaves the rule to the server: parts that are "attachment", that are neither text, multipart nor
    a signature, or texts with a name beside the body; images that HTML refers to within multipart/related are none.
    """
    waiting = [(root, "")]
    while waiting:
        part, parent = waiting.pop()
        if part.type == "multipart":
            waiting.extend([(child, part.subtype) for child in part.children])
        elif part.disposition == "attachment":
            if not (part.subtype in _SIGNATURES and part.type == "application"):
                return True
        elif part.type == "text":
            if part is not root and part.filename and part.subtype != "html" and parent != "alternative":
                return True
        elif part.type == "application" and part.subtype in _SIGNATURES:
            continue
        elif not (parent == "related" and (part.content_id or part.location)):
            return True
    return False


_SIGNATURES: Final = frozenset(("pgp-signature", "pkcs7-signature", "x-pkcs7-signature", "pgp-encrypted"))
