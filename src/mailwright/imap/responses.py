"""The responses of an IMAP server (RFC 3501 7), rendered from values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from mailwright.imap.mailbox_name import encode_name
from mailwright.imap.syntax.flags import ALL_FLAGS, format_flags
from mailwright.imap.syntax.mailbox import DELIMITER
from mailwright.imap.syntax.sequence import Range, format_ranges, format_set

_ATOM: Final = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
_MAX_RANGES: Final = 300  # in one response
_QUOTABLE: Final = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]{0,1000}")


def tagged(tag: str, condition: str, text: str, code: str = "", utf8: bool = False) -> bytes:
    """`A1 OK [CODE] text`. What cannot stand in a line is replaced."""
    shown = f"[{code}] {text}" if code else text
    if shown.endswith("}"):  # some clients take `{8}` at the end of any line for a literal's announcement
        shown += "."
    return (
        f"{tag} {condition} {shown}".encode("utf-8" if utf8 else "ascii", "replace")
        .replace(b"\r", b" ")
        .replace(b"\n", b" ")
        + b"\r\n"
    )


def untagged(condition: str, text: str, code: str = "", utf8: bool = False) -> bytes:
    return tagged("*", condition, text, code, utf8)


def continuation(data: bytes = b"") -> bytes:
    return b"+ " + data + b"\r\n"


def string(text: bytes) -> bytes:
    """A quoted string where the grammar allows one, else a literal."""
    if _QUOTABLE.fullmatch(text) is None:
        return b"{%d}\r\n" % len(text) + text
    if b'"' in text or b"\\" in text:
        text = text.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return b'"' + text + b'"'


def nstring(text: bytes | None) -> bytes:
    return b"NIL" if text is None else string(text)


def astring(text: bytes) -> bytes:
    """An atom where the text is one, else a string."""
    if _ATOM.fullmatch(text) is not None and text.upper() != b"NIL":
        return text
    return string(text)


def mailbox(name: str, utf8: bool = False) -> bytes:
    """A mailbox name, in modified UTF-7 or in UTF-8."""
    if not utf8:
        return astring(encode_name(name))
    if name.isascii():
        return astring(name.encode("ascii"))
    text = name.encode("utf-8", "replace")
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def exists(count: int) -> bytes:
    return b"* %d EXISTS\r\n" % count


def recent(count: int) -> bytes:
    return b"* %d RECENT\r\n" % count


def expunges(numbers: Iterable[int]) -> bytes:
    return b"".join([b"* %d EXPUNGE\r\n" % number for number in numbers])


def vanished(uids: Iterable[Range], earlier: bool = False) -> bytes:
    """`* VANISHED (EARLIER) 3:7,9` (RFC 7162 3.2.10), in lines that no client finds too long."""
    ranges = list(uids)
    head = b"* VANISHED (EARLIER) " if earlier else b"* VANISHED "
    return b"".join(
        [
            head + format_ranges(ranges[start : start + _MAX_RANGES]).encode("ascii") + b"\r\n"
            for start in range(0, len(ranges), _MAX_RANGES)
        ]
    )


def listing(
    name: str,
    attributes: Iterable[str],
    command: str = "LIST",
    child_info: Iterable[str] = (),
    *,
    utf8: bool = False,
    old_name: str = "",
) -> bytes:
    """A LIST or LSUB response. The name '' shows the delimiter.

    `child_info` is the CHILDINFO of RFC 5258 3.5, `old_name` the OLDNAME of RFC 9051 6.3.9.7.
    """
    items = []
    info = " ".join(f'"{option}"' for option in child_info)
    if info:
        items.append(b'"CHILDINFO" (' + info.encode("ascii") + b")")
    if old_name:
        items.append(b'"OLDNAME" (' + mailbox(old_name, utf8) + b")")
    extended = b" (" + b" ".join(items) + b")" if items else b""
    shown = b'""' if not name else mailbox(name, utf8)
    head = f'* {command} ({" ".join(attributes)}) "{DELIMITER}" '.encode("ascii")
    return head + shown + extended + b"\r\n"


def status(name: str, items: Iterable[tuple[str, int | str]], utf8: bool = False) -> bytes:
    values = " ".join([f"{item} {value}" for item, value in items])
    return b"* STATUS %b (%b)\r\n" % (mailbox(name, utf8), values.encode("ascii"))


def quota_root(name: str, root: str, utf8: bool = False) -> bytes:
    """`* QUOTAROOT INBOX user/ann@example.org` (RFC 9208 4.2.2)."""
    return b"* QUOTAROOT " + mailbox(name, utf8) + b" " + astring(root.encode("utf-8")) + b"\r\n"


def quota(root: str, resources: Iterable[tuple[str, int, int]]) -> bytes:
    """`* QUOTA user/ann@example.org (STORAGE 10 512)`: each resource with what is used and may be."""
    shown = " ".join(f"{name} {used} {limit}" for name, used, limit in resources)
    return b"* QUOTA " + astring(root.encode("utf-8")) + b" (" + shown.encode("ascii") + b")\r\n"


def acl(name: str, grants: Iterable[tuple[str, str]], utf8: bool = False) -> bytes:
    """`* ACL INBOX ann@example.org lr` (RFC 4314 3.6); the rights as they are shown."""
    shown = [
        astring(identifier.encode("utf-8")) + b" " + rights.encode("ascii") for identifier, rights in grants
    ]
    return b" ".join([b"* ACL", mailbox(name, utf8), *shown]) + b"\r\n"


def list_rights(name: str, identifier: bytes, rights: str, utf8: bool = False) -> bytes:
    """`* LISTRIGHTS INBOX ann@example.org "" l r` (RFC 4314 3.7)."""
    words = [b"* LISTRIGHTS", mailbox(name, utf8), astring(identifier), rights.encode("ascii")]
    return b" ".join(words) + b"\r\n"


def my_rights(name: str, rights: str, utf8: bool = False) -> bytes:
    """`* MYRIGHTS INBOX lr` (RFC 4314 3.8)."""
    return b"* MYRIGHTS " + mailbox(name, utf8) + b" " + rights.encode("ascii") + b"\r\n"


def metadata(name: str, annotations: Iterable[tuple[str, bytes | None]], utf8: bool = False) -> bytes:
    """`* METADATA INBOX (/shared/comment "text")` (RFC 5464 4.4.1); '' as the name: the server's; nothing for none."""
    shown = [astring(entry.encode("ascii")) + b" " + _value(value) for entry, value in annotations]
    where = mailbox(name, utf8) if name else b'""'
    return b"* METADATA " + where + b" (" + b" ".join(shown) + b")\r\n" if shown else b""


def metadata_changed(name: str, entries: Iterable[str], utf8: bool = False) -> bytes:
    """`* METADATA INBOX /shared/comment`: which entries changed (RFC 5464 4.4.2); '' as the name: the server's."""
    where = mailbox(name, utf8) if name else b'""'
    return b" ".join([b"* METADATA", where, *[astring(entry.encode("ascii")) for entry in entries]]) + b"\r\n"


def _value(value: bytes | None) -> bytes:
    if value is not None and b"\x00" in value:
        return b"~{%d}\r\n" % len(value) + value  # RFC 3516: a literal8
    return nstring(value)


def search(numbers: Iterable[int], modseq: int = 0) -> bytes:
    """`* SEARCH 2 5`; with the highest mod-sequence of what was found when the client asked for it (RFC 7162 3.1.5)."""
    found = msgspec.json.encode(list(numbers))[1:-1].replace(b",", b" ")
    text = b"* SEARCH " + found if found else b"* SEARCH"
    if modseq:
        text += b" (MODSEQ %d)" % modseq
    return text + b"\r\n"


def sort(numbers: Iterable[int], modseq: int = 0) -> bytes:
    """`* SORT 5 2` (RFC 5256 BASE.7.2.SORT); the mod-sequence as in `search`."""
    return search(numbers, modseq).replace(b"SEARCH", b"SORT", 1)


def thread(threads: bytes) -> bytes:
    return b"* THREAD " + threads + b"\r\n" if threads else b"* THREAD\r\n"


def esearch(tag: str, uid: bool, values: Iterable[tuple[str, str]], source: bytes = b"") -> bytes:
    """`* ESEARCH (TAG "A1") UID ALL 1:3` (RFC 4731 3.1); `source` goes on after the tag (RFC 7377 2.1)."""
    shown = "".join(f" {name} {value}" for name, value in values)
    escaped = tag.replace("\\", "\\\\").replace('"', '\\"')
    head = f'* ESEARCH (TAG "{escaped}"'.encode("ascii") + source
    return head + f"){' UID' if uid else ''}{shown}\r\n".encode("ascii")


def search_return(
    numbers: Sequence[int],
    names: frozenset[str],
    modseq: int = 0,
    partial: tuple[int, int] | None = None,
) -> list[tuple[str, str]]:
    """The values of RETURN options over numbers in order (RFC 4731 3.1, RFC 5267 3, RFC 9394 3.1).

    Nothing found leaves out all but COUNT and PARTIAL.
    """
    values = []
    if numbers:
        if "MIN" in names:
            values.append(("MIN", str(numbers[0])))
        if "MAX" in names:
            values.append(("MAX", str(numbers[-1])))
        if "ALL" in names:
            values.append(("ALL", format_set(numbers)))
    shown = numbers
    if partial is not None:
        shown = window(numbers, partial)
        values.append(("PARTIAL", f"({partial[0]}:{partial[1]} {format_set(shown) or 'NIL'})"))
    if "COUNT" in names:
        values.append(("COUNT", str(len(numbers))))
    if "RELEVANCY" in names and shown:
        values.append(
            ("RELEVANCY", "(" + " ".join(["100"] * len(shown)) + ")")
        )  # RFC 6203 4: all fit exactly
    if modseq and numbers:
        values.append(("MODSEQ", str(modseq)))
    return values


def window(numbers: Sequence[int], partial: tuple[int, int]) -> Sequence[int]:
    """The numbers at these places, the one nearer to 1 first, or nearer to the end by -1 (RFC 9394 3.1)."""
    low, high = abs(partial[0]), abs(partial[1])
    if partial[0] > 0:
        return numbers[low - 1 : high]
    return numbers[max(0, len(numbers) - high) : max(0, len(numbers) - low + 1)]


def id_fields(fields: Iterable[tuple[str, str]]) -> bytes:
    """`* ID ("name" "Mailwright")` (RFC 2971)."""
    shown = " ".join(f'"{name}" "{value}"' for name, value in fields)
    return f"* ID ({shown})\r\n".encode("ascii") if shown else b"* ID NIL\r\n"


class FlagTexts(dict[tuple[int, str], bytes]):
    """The FLAGS of FETCH responses by flags and keywords, since a mailbox has few combinations."""

    def __missing__(self, key: tuple[int, str]) -> bytes:
        text = format_flags(key[0] & ALL_FLAGS, key[1]).encode("ascii")
        if len(self) >= 1000:
            self.clear()
        self[key] = text
        return text

    def recent(self, mask: int, keywords: str) -> bytes:
        """The flags of a message that is \\Recent."""
        return format_flags(mask & ALL_FLAGS, keywords, recent=True).encode("ascii")


flag_texts: Final = FlagTexts()
