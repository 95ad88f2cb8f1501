"""Reads a PDF from standard input and writes its text, in UTF-8: `python -m mailwright.pdf.child`.

It is a process of its own because a stranger made what it reads: it can write to no file, and its memory and time are
bounded by the system. What it has written before it is ended counts.
"""

from __future__ import annotations

import io
import logging
import os
import resource
import sys
from collections.abc import Iterator
from typing import BinaryIO, Final

MAX_TEXT: Final = 1024 * 1024  # characters that are written
_MAX_PAGES: Final = 2000
_MEMORY: Final = 768 * 1024 * 1024  # octets of address space
_SECONDS: Final = 10  # of the processor
_NICE: Final = 10  # mail goes first


def page_texts(data: bytes) -> Iterator[str]:
    """The text of each page, as far as it can be read."""
    import pypdf

    pages = pypdf.PdfReader(io.BytesIO(data)).pages
    for number in range(min(len(pages), _MAX_PAGES)):
        try:
            yield pages[number].extract_text()
        except (RecursionError, MemoryError):
            return
        except Exception:  # noqa: S112 - a broken page is passed over, whatever is wrong with it
            continue


def write_text(data: bytes, output: BinaryIO) -> None:
    """Write the text of a PDF page by page, at most MAX_TEXT characters; nothing of what is none. Never raises."""
    room = MAX_TEXT
    try:
        for text in page_texts(data):
            output.write(f"{text[:room]}\n".encode("utf-8", "replace"))
            output.flush()
            room -= len(text)
            if room <= 0:
                return
    except Exception:  # noqa: S110 - encrypted, cut off, or no PDF at all: it has no text
        pass


def main() -> None:
    """Read, limit ourselves, write."""
    data = sys.stdin.buffer.read()
    import pypdf  # noqa: F401 - while files may still be opened

    logging.disable(logging.CRITICAL)
    os.nice(_NICE)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    write_text(data, sys.stdout.buffer)
    os._exit(0)  # nothing is left to be tidied up, which might take long


if __name__ == "__main__":
    main()
