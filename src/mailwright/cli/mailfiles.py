"""Maildir and mbox as people have them: what is in a folder or file, and how to write one."""

from __future__ import annotations

import calendar
import email.utils
import os
import re
import string
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Final, NamedTuple

from mailwright.imap.mailbox_name import InvalidName, decode_name, encode_name
from mailwright.store.model import MAX_KEYWORDS, Flag

MAILDIR_FLAGS: Final = {
    "S": Flag.SEEN,
    "R": Flag.ANSWERED,
    "F": Flag.FLAGGED,
    "T": Flag.DELETED,
    "D": Flag.DRAFT,
}
# What the letters a to z in the names of messages mean: in each folder its own.
MAILDIR_KEYWORDS: Final = "dovecot-keywords"
_MOZILLA_FLAGS: Final = {0x1: Flag.SEEN, 0x2: Flag.ANSWERED, 0x4: Flag.FLAGGED, 0x8: Flag.DELETED}
# Status and X-Status, as mutt, pine and Dovecot write them; X-Keywords is Dovecot's.
_STATUS_FLAGS: Final = {
    "R": Flag.SEEN,
    "A": Flag.ANSWERED,
    "F": Flag.FLAGGED,
    "D": Flag.DELETED,
    "T": Flag.DRAFT,
}
_PARTS: Final = ("cur", "new", "tmp")  # of a Maildir
_DOT: Final = "&AC4-"  # a dot within a level of a mailbox's name
_FROM: Final = re.compile(rb"From \S.* \d\d:\d\d(?::\d\d)?\b.* \d{4}\b")
_KEYWORD: Final = re.compile(r"""[^][\s(){%*"\\\x00-\x1f\x7f-\U0010ffff]+""")  # RFC 3501 9: flag-keyword
_KEPT_IN_HEADER: Final = re.compile(rb"(?im)^(?:(?:X-)?Status|X-Keywords):.*\n(?:[ \t].*\n)*")
_LARGEST: Final = 1 << 30  # octets; a larger message is not read into memory


class Found(NamedTuple):
    """A message in a file. `content` has CRLF line ends; `date` is seconds since the epoch."""

    where: str
    content: bytes
    flags: int
    date: int | None
    keywords: str = ""


class Folder(NamedTuple):
    """A Maildir folder or mbox file, and the mailbox it stands for."""

    mailbox: str
    path: Path
    kind: str  # 'maildir' or 'mbox'


def folders(source: Path, mailbox: str, skipped: Callable[[str], None]) -> list[Folder]:
    """What there is to import below `source`: a Maildir (also Maildir++ or nested), an mbox, or a folder of them.

    `mailbox` is what the top stands for; `skipped` hears what cannot be read, and why. Raises ValueError when there
    is nothing, OSError when `source` is a file that cannot be read.
    """
    if source.is_file():
        if not _is_mbox(source):
            raise ValueError(_no_mbox(source))
        return [Folder(mailbox, source, "mbox")]
    if not source.is_dir():
        raise ValueError(f"{source} is neither a file nor a folder")
    found = [Folder(mailbox, source, "maildir")] if _is_maildir(source) else []
    problems: dict[str, None] = {}
    for path in sorted(_below(source, problems.setdefault)):
        try:
            if path.is_dir() and _is_maildir(path):
                found.append(Folder(_name(path.relative_to(source), mailbox), path, "maildir"))
            elif path.is_file() and _is_mbox(path):
                name = _name(path.relative_to(source).with_suffix(""), mailbox)
                found.append(Folder(name, path, "mbox"))
            elif path.is_file() and path.suffix == ".mbox":
                problems.setdefault(_no_mbox(path))
        except OSError as error:
            problems.setdefault(_unreadable(path, error))
    for why in problems:
        skipped(why)
    if not found:
        raise ValueError(f"{source} holds neither a Maildir (folders cur and new) nor mbox files")
    return found


def count(folder: Folder) -> int:
    """How many messages it holds, about."""
    if folder.kind == "maildir":
        return sum(1 for _ in _maildir_files(folder.path, lambda why: None))
    with folder.path.open("rb") as file:
        return sum(1 for _ in _mbox_texts(file))


def read(folder: Folder, skipped: Callable[[str], None]) -> Iterator[Found]:
    """The messages of a folder, in the order in which they came; `skipped` hears which cannot be read, and why."""
    if folder.kind == "maildir":
        letters = maildir_keywords(folder.path)
        for path in _maildir_files(folder.path, skipped):
            try:
                status = path.stat()
                if status.st_size > _LARGEST:
                    skipped(f"{path}: it has more than {_LARGEST} octets")
                    continue
                content = to_crlf(path.read_bytes())
            except OSError as error:
                skipped(_unreadable(path, error))
                continue
            info = path.name if path.parent.name == "cur" else ""
            keywords = _keywords(letters.get(letter, "") for letter in _letters(info))
            yield Found(str(path), content, maildir_flags(info), int(status.st_mtime), keywords)
        return
    with folder.path.open("rb") as file:
        for number, (line, text) in enumerate(_mbox_texts(file), 1):
            content, flags, keywords = from_mbox(text)
            where = f"{folder.path}, message {number}"
            yield Found(where, to_crlf(content), flags, from_date(line), keywords)


def maildir_flags(name: str) -> int:
    """The flags in a Maildir file's name (`:2,FRS`)."""
    letters = _letters(name)
    return sum(flag for letter, flag in MAILDIR_FLAGS.items() if letter in letters)


def maildir_keywords(folder: Path) -> dict[str, str]:
    """What the small letters mean in this folder, as Dovecot keeps it: `0 $Junk` is `a`."""
    try:
        lines = (folder / MAILDIR_KEYWORDS).read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    found = [line.partition(" ") for line in lines]
    return {chr(ord("a") + int(n)): word for n, _, word in found if re.fullmatch("[0-9]|1[0-9]|2[0-5]", n)}


def maildir_letters(keywords: str, known: dict[str, str]) -> str:
    """The letters for keywords. `known` learns those that are new, as long as there are letters."""
    by_word = {word: letter for letter, word in known.items()}
    free = [letter for letter in string.ascii_lowercase if letter not in known]
    for word in keywords.split():
        if word not in by_word and free:
            by_word[word] = free.pop(0)
            known[by_word[word]] = word
    return "".join(sorted(by_word[word] for word in keywords.split() if word in by_word))


def _letters(name: str) -> str:
    return name.rpartition(":2,")[2].partition(",")[0] if ":2," in name else ""


def _keywords(words: Iterable[str]) -> str:
    """Keywords as the store has them; what is none is left out."""
    return " ".join(sorted({word for word in words if _KEYWORD.fullmatch(word)})[:MAX_KEYWORDS])


def maildir_name(date: int, uidvalidity: int, uid: int, text: bytes) -> str:
    """A file name that stays the same for the same message, without its flags.

    Dovecot and Courier believe S, the octets of the file, and W, what they are with CRLF line ends.
    """
    wire = len(text) + text.count(b"\n") - text.count(b"\r\n")
    return f"{date}.V{uidvalidity}U{uid}.mailwright,S={len(text)},W={wire}"


def maildir_suffix(flags: int) -> str:
    """`:2,` and the flags' letters in order."""
    return ":2," + "".join(sorted(letter for letter, flag in MAILDIR_FLAGS.items() if flags & flag))


def maildir_folder(mailbox: str) -> str:
    """A mailbox's folder in a Maildir++: `.Work.2024`, in modified UTF-7 as Dovecot and Courier write it."""
    levels = [encode_name(level).decode("ascii").replace(".", _DOT) for level in mailbox.split("/")]
    return "." + ".".join(levels)


def from_mbox(text: bytes) -> tuple[bytes, int, str]:
    """A message of an mbox, without the fields in which that keeps flags and keywords; these."""
    head, rest = _parted(text.replace(b"\r\n", b"\n"))
    letters = b"".join(re.findall(rb"(?im)^(?:X-)?Status:[ \t]*([A-Z]+)", head)).decode()
    flags: int = sum(flag for letter, flag in _STATUS_FLAGS.items() if letter in letters)
    if mozilla := re.search(rb"(?im)^X-Mozilla-Status:[ \t]*([0-9a-f]{1,8})", head):
        flags |= sum(flag for bit, flag in _MOZILLA_FLAGS.items() if int(mozilla[1], 16) & bit)
    words = b" ".join(re.findall(rb"(?im)^X-Keywords:(.*)", head)).decode("ascii", "replace").split()
    return _KEPT_IN_HEADER.sub(b"", head) + rest, flags, _keywords(words)


def _parted(text: bytes) -> tuple[bytes, bytes]:
    """The header of a message with LF line ends, and the rest from the empty line on; it may have no header at all."""
    head, gap, body = (b"\n" + text).partition(b"\n\n")
    return (head[1:] + b"\n" if gap and head else head[1:]), gap[1:] + body


def from_date(line: bytes) -> int | None:
    """The date of a line `From sender Thu Jan  1 00:00:00 1970`."""
    words = line.decode("ascii", "replace").split()
    for start in range(2, len(words)):
        parsed = email.utils.parsedate_tz(" ".join(words[start:]))
        if parsed is not None and 1 <= parsed[0] <= 9999:
            return calendar.timegm((*parsed[:6], 0, 0, 0)) - (parsed[9] or 0)
    return None


def to_crlf(content: bytes) -> bytes:
    """Every line end as CRLF, however the file has them."""
    if b"\r" not in content:
        return content.replace(b"\n", b"\r\n")
    return re.sub(rb"\r\n|\r|\n", b"\r\n", content)


def write_mbox(file: IO[bytes], content: bytes, date: int, flags: int, keywords: str = "") -> None:
    """Append a message in the format mboxrd, where `>` is put before every line `>*From `."""
    stamp = email.utils.formatdate(date).split()  # Thu, 01 Jan 1970 00:00:00 -0000
    when = f"{stamp[0][:3]} {stamp[2]} {int(stamp[1]):2} {stamp[4]} {stamp[3]}"
    file.write(f"From MAILER-DAEMON {when}\n".encode())
    text = re.sub(rb"(?m)^(>*From )", rb">\1", content.replace(b"\r\n", b"\n"))
    head, rest = _parted(text if text.endswith(b"\n") else text + b"\n")
    head = _KEPT_IN_HEADER.sub(b"", head)
    letters = {letter for letter, flag in _STATUS_FLAGS.items() if flags & flag}
    file.write(head + f"Status: {'R' if 'R' in letters else ''}O\n".encode())
    if marks := "".join(sorted(letters - {"R"})):
        file.write(f"X-Status: {marks}\n".encode())
    if keywords:
        file.write(f"X-Keywords: {keywords}\n".encode())
    file.write((rest or b"\n") + b"\n")


def _mbox_texts(file: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """The From_ line and the text of each message.

    Where a Content-Length leads to the next From_ line or the end, as in mboxcl2, no line before that is one.
    """
    lines: list[bytes] = []
    start, blank, head = b"", True, False
    place = body_end = 0
    for line in file:
        if blank and place >= body_end and _FROM.match(line):
            if start:
                yield start, _mbox_text(lines)
            start, lines, head = line, [], True
        elif start:
            lines.append(line[1:] if re.match(rb">+From ", line) else line)
        place += len(line)
        blank = not line.strip(b"\r\n")
        if head and blank:
            head = False
            body_end = _body_end(file, place, lines)
    if start:
        yield start, _mbox_text(lines)


def _body_end(file: IO[bytes], place: int, head: list[bytes]) -> int:
    """Where a body that begins at `place` ends by its Content-Length; `place` when that is not given or wrong."""
    lengths = [line.partition(b":")[2].strip() for line in head if line[:15].lower() == b"content-length:"]
    if not lengths or not re.fullmatch(rb"[0-9]{1,12}", lengths[-1]):
        return place
    end = place + int(lengths[-1])
    file.seek(end)
    after = file.read(1000)
    whole = bool(after) or file.seek(0, os.SEEK_END) == end
    file.seek(place)
    rest = after.lstrip(b"\r\n")
    return end if whole and (not rest or _FROM.match(rest)) else place


def _mbox_text(lines: list[bytes]) -> bytes:
    if lines and not lines[-1].strip(b"\r\n"):
        lines = lines[:-1]  # the empty line that parts messages
    return b"".join(lines)


def _below(folder: Path, skipped: Callable[[str], object]) -> Iterator[Path]:
    """All that is below a folder, without the messages of Maildirs."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        skipped(_unreadable(folder, error))
        return
    names = {entry.name for entry in entries}
    for entry in entries:
        if entry.name in _PARTS and ("cur" in names or {"new", "tmp"} <= names):
            continue
        yield Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _below(Path(entry.path), skipped)


def _unreadable(path: Path, error: OSError) -> str:
    return f"{path}: cannot be read: {error.strerror}"


def _maildir_files(path: Path, skipped: Callable[[str], None]) -> Iterator[Path]:
    """The messages of a Maildir, oldest first; `skipped` hears of folders that cannot be read."""
    found: list[tuple[float, str, Path]] = []
    for part in ("cur", "new"):
        try:
            with os.scandir(path / part) as entries:
                # A link that leads nowhere is a message that was lost, of which the importer shall hear.
                found += [
                    (entry.stat(follow_symlinks=False).st_mtime, entry.name, Path(entry.path))
                    for entry in entries
                    if not entry.name.startswith(".") and (entry.is_symlink() or entry.is_file())
                ]
        except FileNotFoundError:
            pass  # copies often lack folders that were empty
        except OSError as error:
            skipped(_unreadable(path / part, error))
    yield from (file for _, _, file in sorted(found))


def _is_maildir(path: Path) -> bool:
    """Whether it is one; copies often lack folders that were empty."""
    return (path / "cur").is_dir() or ((path / "new").is_dir() and (path / "tmp").is_dir())


def _is_mbox(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.readline(1000)
    return _FROM.match(first) is not None or (not first and path.suffix == ".mbox")


def _no_mbox(path: Path) -> str:
    return f"{path} is no mbox: its first line is not 'From sender date'"


def _name(path: Path, top: str) -> str:
    """Maildir++ writes `.Work.2024`, others `Work/2024`, Thunderbird `Work.sbd/2024`; INBOX and Inbox are the top."""
    parts = [*(part.removesuffix(".sbd") for part in path.parts[:-1]), path.name]
    levels = [level for part in parts for level in _levels(part) if level]
    if not levels:
        return top
    if top == "INBOX":
        return "INBOX" if [level.upper() for level in levels] == ["INBOX"] else "/".join(levels)
    return "/".join([top, *levels])


def _levels(part: str) -> list[str]:
    """The levels of a mailbox's name that a folder's or file's name stands for."""
    if part.startswith("."):
        return [_decoded(level) for level in part[1:].split(".")]
    name = _decoded(part)
    return [part if name.isascii() else name]  # a plain `a&-b` may well mean itself


def _decoded(level: str) -> str:
    try:
        return decode_name(level.replace(_DOT, ".").encode("utf-8", "surrogateescape"))
    except InvalidName:
        return level
