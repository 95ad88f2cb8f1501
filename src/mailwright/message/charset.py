"""Octets to text: the declared charset where it holds, else a guess. Nothing here raises."""

from __future__ import annotations

import re
from encodings.aliases import aliases
from functools import lru_cache
from typing import Final

GUESS_OCTETS: Final = 4096  # what a guess looks at
_SURELY: Final = 8  # octets that UTF-8 has more than characters: four Chinese characters
_WHOLE: Final = 8  # characters beyond ASCII for each broken one that make a text UTF-8

# What the world means: mostly the superset that senders really use (as in the WHATWG Encoding Standard).
_SUPERSETS: Final[dict[str, str]] = {
    "gb2312": "gb18030", "gbk": "gb18030", "cp950": "big5", "big5hkscs": "big5", "euc_kr": "cp949",
    "shift_jis": "cp932", "iso2022_jp": "iso2022_jp_ext", "latin_1": "cp1252", "iso8859_1": "cp1252",
    "iso8859_9": "cp1254", "iso8859_11": "cp874", "tis_620": "cp874",
}  # fmt: skip
_MEANT: Final[dict[str, str]] = {
    "gb_2312": "gb18030", "x_gbk": "gb18030", "euc_cn": "gb18030", "windows_936": "gb18030", "csgb2312": "gb18030",
    "csgbk": "gb18030", "csgb18030": "gb18030", "x_gb2312": "gb18030", "x_gb18030": "gb18030", "hz_gb": "hz",
    "x_x_big5": "big5", "cn_big5": "big5", "x_cp950": "big5", "ks_c_5601": "cp949", "korean": "cp949",
    "cseuckr": "cp949", "sjis": "cp932", "x_sjis": "cp932", "ms_kanji": "cp932", "windows_31j": "cp932",
    "cswindows31j": "cp932", "cp50220": "iso2022_jp_ext", "cp50221": "iso2022_jp_ext",
    "iso_2022_jp_ms": "iso2022_jp_ext", "iso_2022_jp_esc": "iso2022_jp_ext",
    "x_euc_jp": "euc_jp", "iso_8859_8_i": "iso8859_8", "iso_8859_8_e": "iso8859_8", "iso_8859_6_i": "iso8859_6",
    "iso_8859_6_e": "iso8859_6", "windows_874": "cp874", "dos_874": "cp874", "unicode_1_1_utf_8": "utf_8",
    "csutf8": "utf_8", "utf8mb4": "utf_8", "utf_8_bom": "utf_8_sig", "unicode": "utf_16", "ucs_2": "utf_16",
    "x_mac_roman": "mac_roman", "x_mac_cyrillic": "mac_cyrillic", "koi8_ru": "koi8_u",
}  # fmt: skip
# UTF-7 hides markup from every filter; the others are no charsets, or cost more than linear time.
_REFUSED: Final = frozenset(
    (
        "utf_7", "idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "rot_13", "base64_codec",
        "bz2_codec", "hex_codec", "quopri_codec", "uu_codec", "zlib_codec", "mbcs", "oem", "palmos",
    )
)  # fmt: skip
_ESCAPES: Final = re.compile(rb"\x1b(\$[@B]|\([BIJ])")
_JIS_PAIR: Final = re.compile(rb"[!-~]{2}")
# What a guess chooses from, by chardet's names. It knows many more, of old computers, in which no mail is written.
_LATIN: Final = ("cp1250", "cp1252", "cp1254")
_GUESSED: Final = (
    *_LATIN, "cp1251", "cp1253", "cp1255", "cp1256", "cp1257", "cp1258", "cp874", "iso8859-2", "koi8-r", "koi8-u",
    "cp932", "euc_jis_2004", "cp949", "big5hkscs", "gb18030", "utf-8", "utf-16", "utf-16-le", "utf-16-be",
)  # fmt: skip
_ASCII: Final = bytes(range(128))
_HIGH: Final = bytes(range(128, 256))
_ASCII_LETTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# The octets of windows-1252 that stand in words of western Europe, and the signs that stand between them.
_WESTERN_LETTERS: Final = bytes(set(range(0xC0, 0x100)) - {0xD7, 0xF7}) + "ŠŒŽšœž".encode("cp1252")
_WESTERN_SIGNS: Final = "€…‘’“”•–—™\xa0¡£§©ª«®°´·º»¿".encode("cp1252")
_THREE: Final = re.compile(rb"[\x80-\xff]{3}")
_FEW: Final = 4  # letters, from which on statistics tell Polish from German
_WITHOUT_ALIAS: Final = (
    "koi8_u",
    "koi8_t",
    "cp720",
    "cp737",
    "cp856",
    "cp874",
    "cp875",
    "cp1006",
    "utf_8_sig",
)


def _key(name: str) -> str:
    return "".join([char for char in name.lower() if char.isalnum()])


def _known() -> dict[str, str]:
    table = {alias: codec for alias, codec in aliases.items() if codec not in _REFUSED}
    table.update({codec: codec for codec in set(table.values())})
    for prefix, codec in (("windows_", "cp"), ("x_cp", "cp"), ("ibm", "cp"), ("x_windows_", "cp")):
        table.update(
            {prefix + c[2:]: c for c in list(table.values()) if c.startswith(codec) and c[2:].isdigit()}
        )
    for number in range(1, 17):
        if f"iso8859_{number}" in table:
            table[f"iso_8859_{number}"] = table[f"iso8859{number}"] = f"iso8859_{number}"
    table.update({codec: codec for codec in _WITHOUT_ALIAS})
    squeezed = {_key(alias): _SUPERSETS.get(codec, codec) for alias, codec in table.items()}
    squeezed.update({_key(alias): codec for alias, codec in _MEANT.items()})
    return squeezed


# The names are looked up here and never in `codecs`, which would keep each unknown name for ever.
_KNOWN: Final[dict[str, str]] = _known()


@lru_cache(maxsize=256)
def codec_name(charset: str) -> str | None:
    """The name of Python's codec for a declared charset; None when it is unknown or refused (UTF-7)."""
    if len(charset) > 64:
        return None
    return _KNOWN.get(_key(charset))


def decode(data: bytes, charset: str = "") -> str:
    """The text of `data`: by its declared charset when that is known and fits, else by `guess`.

    What can be read as UTF-8 is UTF-8, whatever it is called: no other text of some length can.
    """
    codec = codec_name(charset) if charset else None
    if codec is None:
        return guess(data)
    if codec not in ("ascii", "utf_8") and not data.isascii():
        text = _utf8(data)
        if text is not None and len(data) - len(text) >= _SURELY:
            return text
    if codec in ("ascii", "utf_8", "cp1252"):
        return _decode_common(data, codec)
    try:
        return data.decode(codec)
    except UnicodeError:
        pass
    except (LookupError, ValueError):
        return guess(data)
    if codec == "big5":
        try:
            return data.decode("cp950")
        except UnicodeError:
            codec = "big5hkscs"
    elif codec == "iso2022_jp_ext" and b"\x1b$" in data:
        return _decode_jis(data)
    text = data.decode(codec, "replace")
    if text.count("\ufffd") * 10 > len(text):  # not what it says: perhaps UTF-8
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            pass
    return text


def _decode_common(data: bytes, codec: str) -> str:
    try:
        return data.decode("utf-8" if codec == "ascii" else codec)
    except UnicodeDecodeError:
        pass
    if codec == "cp1252":  # the five octets that windows-1252 leaves open
        return data.decode("latin-1")
    if codec == "utf_8":
        text = data.decode("utf-8", "replace")
        if text.count("\ufffd") * 20 <= len(text):
            return text
    return guess(data)


def _decode_jis(data: bytes) -> str:
    """ISO-2022-JP as Windows writes it, with characters of its own such as ①, or cut off."""
    pieces = _ESCAPES.split(data)
    texts = [pieces[0].decode("cp932", "replace")]
    for escape, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        if escape == b"(I":  # half-width katakana
            piece = bytes([octet | 0x80 if octet > 0x20 else octet for octet in piece])
        elif escape[0] == 36:  # $
            piece = _JIS_PAIR.sub(_to_shift_jis, piece)
        texts.append(piece.decode("cp932", "replace"))
    return "".join(texts)


def _to_shift_jis(pair: re.Match[bytes]) -> bytes:
    row, cell = pair.group()
    if row & 1:
        cell += 0x1F if cell < 0x60 else 0x20
    else:
        cell += 0x7E
    return bytes(((row + 1 >> 1) + (0x70 if row < 0x5F else 0xB0), cell))


def _utf8(data: bytes) -> str | None:
    """The text of UTF-8 that may be cut within a character at the end; None when it is none."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        cut = error.start > len(data) - 4 and len(data) > 64
        return data.decode("utf-8", "replace") if cut else None


def _is_broken_utf8(sample: bytes) -> bool:
    """Whether octets are UTF-8 but for a few, such as half a character: no other text is UTF-8 so often by chance."""
    text = sample.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    characters = len(text) - len(sample.translate(None, _HIGH)) - broken
    return characters >= _WHOLE * broken


def guess(data: bytes) -> str:
    """The text of octets without a declared charset: UTF-8, else what it looks like, else by statistics."""
    text = _utf8(data)
    if text is not None:
        return text
    sample = data[:GUESS_OCTETS]
    if _is_broken_utf8(sample):
        return data.decode("utf-8", "replace")
    if looks_gb18030(sample):
        return data.decode("gb18030", "replace")
    western = looks_western(sample)
    if western and len(sample) - len(sample.translate(None, _WESTERN_LETTERS)) < _FEW:
        return data.decode("cp1252", "replace")
    codec = _by_statistics(sample, _LATIN if western else _GUESSED)
    if codec is not None and codec != "ascii":
        try:
            return data.decode(codec, "replace")
        except (LookupError, ValueError):
            pass
    return data.decode("latin-1")


def _by_statistics(sample: bytes, candidates: tuple[str, ...]) -> str | None:
    import chardet  # most mail never needs it, and all would wait while it is loaded

    try:
        found = chardet.detect(sample, include_encodings=candidates)["encoding"]
    except Exception:  # a guess may not fail a message
        return None
    return codec_name(found) if found else None


def looks_western(sample: bytes) -> bool:
    """Whether octets are words in Latin letters, of which only some, one or two together, are no ASCII.

    Statistics of so few octets mean nothing: a name or a subject becomes Cyrillic, or Icelandic of an old computer.
    """
    if sample.translate(None, _ASCII + _WESTERN_LETTERS + _WESTERN_SIGNS) or _THREE.search(sample):
        return False
    size = len(sample)
    plain = size - len(sample.translate(None, _ASCII_LETTERS))
    return 2 * (size - len(sample.translate(None, _WESTERN_LETTERS))) <= plain


def looks_gb18030(sample: bytes) -> bool:
    """Whether octets are Chinese in GB2312's common half, and not Korean, Japanese or Cyrillic of the same shape."""
    pairs = common = kana = korean = low = index = 0
    size = len(sample)
    while index < size:
        lead = sample[index]
        if lead < 0x80:
            index += 1
            continue
        if index + 1 == size:
            break
        trail = sample[index + 1]
        if lead in (0x80, 0xFF) or not 0x30 <= trail <= 0xFE:
            return False
        pairs += 1
        if trail >= 0xA1:
            if 0xB0 <= lead <= 0xD7 or 0xA1 <= lead <= 0xA3:
                common += 1
            if lead in (0xA4, 0xA5):
                kana += 1
            if 0xB0 <= lead <= 0xC8:
                korean += 1
        if 0xA1 <= lead < 0xC0 or 0xA1 <= trail < 0xC0:
            low += 1
        index += 2
    if pairs == 0 or kana * 4 > pairs or common * 10 < pairs * 8:
        return False
    if low == 0 and pairs >= 3:  # KOI8-R and windows-1251 keep to the upper half
        return False
    return not (pairs >= 6 and korean * 100 >= pairs * 97)
