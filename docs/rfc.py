"""docs/rfc.toml against the code: `python docs/rfc.py` makes docs/rfc.md anew and names citations that are missing.

With --add it enters newly cited sections; look each one up before you commit it.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
TOML: Final = ROOT / "docs" / "rfc.toml"
PAGE: Final = ROOT / "docs" / "rfc.md"

_SECTION = r"(?:[1-9]\d?|[A-F](?=\.))(?:\.\d{1,2})*(?![\w%-])(?!\.\d)"
_CITATION: Final = re.compile(rf"RFC (\d{{3,5}})\b((?:(?: |, | and |, and ){_SECTION})*)")
_STATUS: Final = {"full": "full", "partial": "partial", "no": "no"}


def citations(root: Path = ROOT / "src") -> dict[str, set[str]]:
    """RFC number -> the sections that the code cites ('RFC 5321 4.5.3.1.6', 'RFC 3501 7.4.1 and 5.5')."""
    found: dict[str, set[str]] = defaultdict(set)
    for file in sorted([*root.rglob("*.py"), *root.rglob("*.sql")]):
        for number, sections in cited(file.read_text("utf-8")):
            found[number].update(sections)
    return dict(found)


def cited(text: str) -> Iterator[tuple[str, list[str]]]:
    """The citations in a text, also those that are broken over two lines of a comment."""
    text = re.sub(r"\n\s*(?:#|--)?\s*", " ", text)
    for match in _CITATION.finditer(text):
        yield match[1], re.findall(_SECTION, match[2])


def known() -> dict[str, dict[str, Any]]:
    """What docs/rfc.toml says."""
    table: dict[str, dict[str, Any]] = tomllib.loads(TOML.read_text("utf-8"))["rfc"]
    return table


def missing() -> list[str]:
    """Each citation that docs/rfc.toml does not have, as 'RFC 5321 4.1'."""
    listed = known()
    gone = []
    for number, sections in sorted(citations().items(), key=lambda item: int(item[0])):
        if number not in listed:
            gone.append(f"RFC {number}")
        gone += [
            f"RFC {number} {section}"
            for section in sorted(sections, key=_order)
            if section not in listed.get(number, {}).get("cited", [])
        ]
    return gone


def page() -> str:
    """docs/rfc.md, made of docs/rfc.toml."""
    text = (
        "# Standards\n\n<!-- Made by `python docs/rfc.py` from docs/rfc.toml. -->\n\n"
        "| RFC | title | support | notes |\n| --- | --- | --- | --- |\n"
    )
    for number, entry in sorted(known().items(), key=lambda item: int(item[0])):
        link = f"[{number}](https://www.rfc-editor.org/rfc/rfc{number})"
        text += f"| {link} | {entry['title']} | {_STATUS[entry['status']]} | {entry.get('notes', '')} |\n"
    return text


def add() -> None:
    """Enter the sections that the code cites and the file does not have."""
    text = TOML.read_text("utf-8")
    for number, sections in citations().items():
        listed = known().get(number)
        if listed is None:
            print(f"RFC {number} is not in {TOML.name}: add it with title, status and notes", file=sys.stderr)
            continue
        merged = sorted(set(listed.get("cited", [])) | sections, key=_order)
        line = "cited = [" + ", ".join(f'"{section}"' for section in merged) + "]"
        block = re.compile(rf"(\[rfc\.{number}\]\n(?:(?!\[).+\n)*?)cited = \[.*\]\n")
        text = block.sub(lambda found, line=line: f"{found[1]}{line}\n", text)  # type: ignore[misc]
    TOML.write_text(text, "utf-8")


def _order(section: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (1000, part) for part in section.split(".")]


def main() -> None:
    if "--add" in sys.argv:
        add()
    PAGE.write_text(page(), "utf-8")
    if gone := missing():
        sys.exit("cited in src, but not in docs/rfc.toml: " + ", ".join(gone))


if __name__ == "__main__":
    main()
