"""Messages of others: with the structure another parser saw in them, and real mail without."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from message.invariants import check

from mailwright.message.content import part_text
from mailwright.message.part import Part

VECTORS = Path(
    os.environ.get("MAILWRIGHT_VECTORS", Path(__file__).resolve().parents[2] / "../shared/vectors")
)
if not VECTORS.is_dir():
    pytest.skip("the shared test vectors are missing: set MAILWRIGHT_VECTORS", allow_module_level=True)

# Where the expectation is not ours, and why.
EXCEPTIONS = {
    "malformed/000": "delimiters in place of blank lines: four parts are there, not none",
    "malformed/001": "'--ab' is exactly the outer boundary, not 'a' with a tail",
    "malformed/004": "'--ab' and '--ac' are not the boundary 'a': lines are compared whole",
    "malformed/007": "the inner delimiter stands where the blank line is missing: it opens a part",
    "malformed/008": "an outer delimiter ends the inner multipart there, not at the end of the message",
    "malformed/009": "an outer delimiter ends the parts of an unclosed inner multipart",
    "malformed/011": "as 009",
    "malformed/012": "as 009",
    "malformed/016": "as 009, with long boundaries that begin each other",
    "malformed/020": "a multipart with an 8bit encoding is a multipart still",
    "malformed/021": "as 020",
    "malformed/022": "the delimiter ends a message without header as well",
    "malformed/019": "a header without blank line ends where text begins: the text is not lost",
}


def flatten(part: Part) -> list[Part]:
    if part.type == "message":
        return [part]
    return [part, *(below for child in part.children for below in flatten(child))]


def compare(expected: dict[str, Any], root: Part, source: bytes) -> None:
    parts = flatten(root)
    assert len(parts) == len(expected["parts"])
    for part, wanted in zip(parts, expected["parts"], strict=True):
        offsets = wanted["offset_header"], wanted["offset_body"], wanted["offset_end"]
        assert (part.header_start, part.body_start, part.end) == offsets
        body = wanted["body"]
        if "Message" in body and part.children:  # an encoded message is opaque to IMAP
            compare(body["Message"], part.children[0], source)
        if part.type == "text":
            text = part_text(part, source, len(source))
            assert text.splitlines() == body.get("Text", body.get("Html")).splitlines()
        for field in wanted["headers"]:
            if field["name"] == "content_type" and "ContentType" in field["value"]:
                kind = field["value"]["ContentType"]
                assert part.content_type == f"{kind['c_type']}/{kind['c_subtype']}".lower()


@pytest.mark.parametrize("end", ["", ".crlf"])
@pytest.mark.parametrize("name", sorted(f"{p.parent.name}/{p.stem}" for p in VECTORS.glob("mime/*/*.eml")))
def test_structure_as_another_parser_sees_it(name: str, end: str) -> None:
    path = VECTORS / "mime" / f"{name}.eml"
    source = path.read_bytes()
    if end:
        source = source.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    elif b"\r\n" in source and name != "malformed/000":
        source = source.replace(b"\r\n", b"\n")
    parsed = check(source)
    if name not in EXCEPTIONS:
        compare(json.loads(path.with_name(f"{path.stem}{end}.json").read_text()), parsed.root, source)


SPAM = sorted(path for path in VECTORS.glob("spam/**/*") if path.is_file())


@pytest.mark.parametrize("path", SPAM, ids=[str(path.relative_to(VECTORS)) for path in SPAM])
def test_real_mail(path: Path) -> None:
    source = path.read_bytes()
    for form in (source, source.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")):
        parsed = check(form)
        assert parsed.headers or not form.strip()
