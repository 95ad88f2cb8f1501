"""How octets look in storage: one octet that names the method, then the octets.

Chunks of blobs are kept so, and what the store keeps of a message for quick answers. Small texts compress well only
with a dictionary of what mail is full of. Each store learns one from its own mail (`store.learning`) and keeps it in
the database; until then the one that is shipped serves. A dictionary never changes once something was packed with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
import zstandard

from mailwright.store.blobs import dictionaries, encodings
from mailwright.store.blobs.api import CHUNK, Pieces
from mailwright.store.blobs.lately import Lately
from mailwright.store.errors import StoreFailed

if TYPE_CHECKING:
    from mailwright.store.db.api import Transaction

FIRST: Final = 128  # messages that come before the first dictionary is learned, from them
SAMPLE_OCTETS: Final = 4096  # of each message that a dictionary is learned from

_MAGIC: Final = zstandard.FRAME_HEADER  # of zstd, which frames are kept without
_RAW: Final = b"\x00"
_FIRST: Final = b"\x01"  # a whole frame of zstd, with dictionary.txt: what the first versions wrote
_ZSTD: Final = b"\x02"  # the number of a dictionary in one octet, then a frame without its magic number
_SHORT: Final = b"\x03"  # the same, of the short form (`encodings`)
_TEXT: Final = 0x20  # what begins with such an octet or a higher one stands as it is
_LEVEL: Final = 3
_TOGETHER: Final = 8  # chunks that are decompressed in one call, at least
_SHIPPED: Final = 0  # the number of dictionary.txt
_PAGE: Final = 200  # rows: who asks for more does not ask for the same again soon
_LATELY: Final = 8 * 1024 * 1024  # octets of such texts that stay in memory

_Function = Callable[[bytes | memoryview], bytes]
_Many = Callable[[Any], Any]  # frames to buffers


class _Contexts:
    """zstd's contexts are cheap to use and dear to make, and belong to one thread."""

    __slots__ = ("compress", "decompress", "decompress_first", "decompress_many")

    def __init__(self) -> None:
        self.compress: dict[tuple[int, bool], zstandard.ZstdCompressor] = {}
        self.decompress: dict[int, _Function] = {}
        self.decompress_many: dict[int, _Many] = {}
        self.decompress_first = zstandard.ZstdDecompressor(dict_data=_shipped()).decompress


class Codec:
    """Packs with the newest dictionary that it was given, and unpacks with any that the database holds."""

    def __init__(self) -> None:
        self._dictionaries = {_SHIPPED: _shipped()}
        self._newest = _SHIPPED
        self.samples: list[bytes] = []
        self._lately: Lately[bytes] = Lately(_LATELY)  # small texts by their stored forms
        self._threads = threading.local()

    def adopt(self, number: int, data: bytes) -> None:
        """Pack with this dictionary from now on. It must be durable: what is packed with it is lost without it."""
        learned = zstandard.ZstdCompressionDict(data)
        learned.precompute_compress(level=_LEVEL)
        self._dictionaries[number] = learned
        self._newest = number
        self.samples = []  # what came meanwhile is no reason to learn another at once

    def look_at(self, content: bytes) -> None:
        """Remember how a message begins, until there is a dictionary of the store's own."""
        if self._newest == _SHIPPED and len(self.samples) < FIRST:
            self.samples.append(content[:SAMPLE_OCTETS])

    def pack(self, texts: Sequence[bytes]) -> list[bytes]:
        """The stored forms of small texts, which the database can do without: they get no checksum."""
        number = self._newest
        zstd = b"%b%c" % (_ZSTD, number)
        return [
            zstd + packed
            if len(packed) + 2 < len(text)
            else text
            if text and text[0] >= _TEXT
            else _RAW + text
            for text, packed in zip(texts, self._compress(number, False, texts), strict=True)
        ]

    def pack_chunks(self, contents: Sequence[bytes]) -> list[bytes]:
        """The stored forms of content, each at most CHUNK octets."""
        number = self._newest
        short = [encodings.shorten(content) for content in contents]
        plain = [content if form is None else form for content, form in zip(contents, short, strict=True)]
        return [
            b"%b%c%b" % (_ZSTD if form is None else _SHORT, number, packed)
            if len(packed) + 2 < len(content)
            else _RAW + content
            for content, form, packed in zip(
                contents, short, self._compress(number, True, plain), strict=True
            )
        ]

    def pack_chunk(self, content: bytes) -> bytes:
        """The stored form of at most CHUNK octets of content."""
        return self.pack_chunks((content,))[0]

    def leave(self, content: bytes) -> bytes:
        """The stored form of content that is not worth the time to compress it."""
        return _RAW + content

    def is_left(self, stored: bytes) -> bool:
        """Whether a stored form is not compressed."""
        return stored.startswith(_RAW)

    @property
    def _contexts(self) -> _Contexts:
        """Those of this thread."""
        found: _Contexts | None = getattr(self._threads, "contexts", None)
        if found is None:
            found = self._threads.contexts = _Contexts()
        return found

    def unpack(self, tx: Transaction, stored: bytes) -> bytes:
        """What `pack` or `pack_chunk` was given. Raises StoreFailed when it is damaged."""
        method = stored[:1]
        try:
            if method == _ZSTD:
                return self._decompressor(tx, stored[1])(memoryview(stored)[2:])
            if method == _SHORT:
                form = self._decompressor(tx, stored[1])(memoryview(stored)[2:])
                return b"".join(encodings.restore(form))
            if method == _FIRST:
                return self._contexts.decompress_first(stored[1:], CHUNK)
        except (zstandard.ZstdError, msgspec.MsgspecError, ValueError, IndexError, MemoryError) as error:
            raise StoreFailed(f"a stored chunk is damaged ({error}); run `mailwright doctor`") from error
        if method == _RAW:
            return stored[1:]
        if method and method[0] >= _TEXT:
            return stored
        raise StoreFailed(f"a stored chunk uses the unknown method {method!r}; run `mailwright doctor`")

    def unpack_all(self, tx: Transaction, column: Sequence[bytes]) -> list[bytes]:
        """`unpack` for a column of many rows, or of a page that others may ask for again."""
        if len(column) > _PAGE:
            return self._unpack_all(tx, column)
        found = self._lately.find_all(column)
        missing = [stored for stored, text in zip(column, found, strict=True) if text is None]
        if not missing:
            return cast("list[bytes]", found)
        texts = dict(zip(missing, self._unpack_all(tx, missing), strict=True))
        self._lately.add_all(texts.items())
        return [texts[stored] if text is None else text for stored, text in zip(column, found, strict=True)]

    def _unpack_all(self, tx: Transaction, column: Sequence[bytes]) -> list[bytes]:
        unpack, known, method = self.unpack, self._contexts.decompress, _ZSTD[0]
        try:
            return [
                stored
                if stored[0] >= _TEXT
                else known[stored[1]](stored[2:])
                if stored[0] == method
                else unpack(tx, stored)
                for stored in column
            ]
        except (KeyError, IndexError, MemoryError, zstandard.ZstdError):
            # One at a time, which loads a dictionary that is missing and tells what is damaged.
            return [unpack(tx, stored) for stored in column]

    def unpack_chunks(
        self, tx: Transaction, column: Sequence[bytes], stops: Sequence[int] | None = None
    ) -> list[Pieces]:
        """`unpack` for many chunks, in pieces that are not copied; most of the time other threads can run.

        `stops` tells how many octets of each are wanted: it may be these alone, or all.
        """
        if len(column) < _TOGETHER:  # what is made ready for many costs more than it saves
            return [(self.unpack(tx, stored),) for stored in column]
        contents: list[Pieces] = [()] * len(column)
        frames: dict[int, list[int]] = {}  # by their dictionary, where those lie that need one
        try:
            for place, stored in enumerate(column):
                method = stored[0]
                if method == _ZSTD[0] or method == _SHORT[0]:
                    frames.setdefault(stored[1], []).append(place)
            for number, places in frames.items():
                unpacked = self._decompressor_of_many(tx, number)([_MAGIC + column[n][2:] for n in places])
                for place, octets in zip(places, unpacked, strict=True):
                    wanted = None if stops is None else stops[place]
                    if column[place][0] == _SHORT[0]:
                        contents[place] = encodings.restore(octets, wanted)
                    else:
                        whole = memoryview(octets)
                        contents[place] = (whole if wanted is None else whole[:wanted],)
        except (zstandard.ZstdError, msgspec.MsgspecError, ValueError, IndexError, MemoryError):
            contents = [()] * len(column)  # one at a time, which tells what is damaged
        return [pieces or (self.unpack(tx, stored),) for pieces, stored in zip(contents, column, strict=True)]

    def _compress(self, number: int, check: bool, contents: Sequence[bytes]) -> list[bytes]:
        compress = self._compressor(number, check).compress
        return [compress(content) for content in contents]

    def _compressor(self, number: int, check: bool) -> zstandard.ZstdCompressor:
        known = self._contexts.compress
        if (number, check) not in known:
            parameters = zstandard.ZstdCompressionParameters.from_level(
                _LEVEL,
                format=zstandard.FORMAT_ZSTD1_MAGICLESS,
                write_checksum=check,
                write_content_size=True,
                write_dict_id=False,
            )
            known[number, check] = zstandard.ZstdCompressor(
                compression_params=parameters, dict_data=self._dictionaries[number]
            )
        return known[number, check]

    def _decompressor(self, tx: Transaction, number: int) -> _Function:
        known = self._contexts.decompress
        if number not in known:
            known[number] = zstandard.ZstdDecompressor(
                dict_data=self._dictionary(tx, number), format=zstandard.FORMAT_ZSTD1_MAGICLESS
            ).decompress
        return known[number]

    def _decompressor_of_many(self, tx: Transaction, number: int) -> _Many:
        """For whole frames: without their magic number zstd takes them one at a time."""
        known = self._contexts.decompress_many
        if number not in known:
            dictionary = self._dictionary(tx, number)
            known[number] = zstandard.ZstdDecompressor(dict_data=dictionary).multi_decompress_to_buffer
        return known[number]

    def _dictionary(self, tx: Transaction, number: int) -> zstandard.ZstdCompressionDict:
        if number not in self._dictionaries:  # another process learned it
            self._dictionaries[number] = zstandard.ZstdCompressionDict(dictionaries.read(tx, number))
        return self._dictionaries[number]


def _shipped() -> zstandard.ZstdCompressionDict:
    text = (resources.files(__package__) / "dictionary.txt").read_bytes().replace(b"\n", b"\r\n")
    dictionary = zstandard.ZstdCompressionDict(text, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    dictionary.precompute_compress(level=_LEVEL)
    return dictionary
