"""How a chunk looks in storage: one octet that names the method, then the octets.

The dictionary holds what mail is full of, so that a small message compresses as well as a large one. A dictionary that
has shipped never changes: a better one gets a new method octet.
"""

from __future__ import annotations

import threading
from importlib import resources

import zstandard

from mailwright.store.blobs.api import CHUNK
from mailwright.store.errors import StoreFailed

_RAW = b"\x00"
_ZSTD = b"\x01"  # with dictionary.txt
_LEVEL = 3


class _Codec(threading.local):
    """zstd contexts are cheap to use and dear to make, and belong to one thread."""

    def __init__(self) -> None:
        dictionary = _dictionary()
        self.compress = zstandard.ZstdCompressor(
            level=_LEVEL, dict_data=dictionary, write_checksum=True, write_content_size=True
        ).compress
        self.decompress = zstandard.ZstdDecompressor(dict_data=dictionary).decompress


def _dictionary() -> zstandard.ZstdCompressionDict:
    text = (resources.files(__package__) / "dictionary.txt").read_bytes().replace(b"\n", b"\r\n")
    dictionary = zstandard.ZstdCompressionDict(text, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    dictionary.precompute_compress(level=_LEVEL)
    return dictionary


_codec = _Codec()


def compress(content: bytes) -> bytes:
    """The stored form of at most CHUNK octets."""
    packed = _codec.compress(content)
    return _ZSTD + packed if len(packed) < len(content) else _RAW + content


def decompress(stored: bytes) -> bytes:
    """The content of a stored chunk. Raises StoreFailed when it is damaged."""
    if stored[:1] == _RAW:
        return stored[1:]
    if stored[:1] != _ZSTD:
        raise StoreFailed(f"a stored chunk uses the unknown method {stored[:1]!r}; run `mailwright doctor`")
    try:
        return _codec.decompress(memoryview(stored)[1:], max_output_size=CHUNK)
    except zstandard.ZstdError as error:
        raise StoreFailed(f"a stored chunk is damaged ({error}); run `mailwright doctor`") from error
