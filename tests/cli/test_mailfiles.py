"""Maildir and mbox, as they are found and as they are written."""

from __future__ import annotations

import io
import mailbox
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.cli import mailfiles
from mailwright.cli.mailfiles import Folder, folders, read
from mailwright.store.model import Flag

MESSAGE = b"From: a@example.org\nSubject: x\n\nHello\n"


def maildir(path: Path, **messages: bytes) -> Path:
    for part in ("cur", "new", "tmp"):
        (path / part).mkdir(parents=True)
    for name, content in messages.items():
        (path / "cur" / name).write_bytes(content)
    return path


def mbox(path: Path, text: bytes) -> list[mailfiles.Found]:
    path.write_bytes(text)
    return list(read(Folder("INBOX", path, "mbox"), pytest.fail))


def test_maildir_plus_plus_and_nested_folders_are_found(tmp_path: Path) -> None:
    maildir(tmp_path / "mail")
    for name in (".Sent", ".Work.2024", "Plain/Deep"):
        maildir(tmp_path / "mail" / name)
    (tmp_path / "mail" / "old.mbox").write_bytes(b"From a@b Thu Jan  1 00:00:00 1970\n" + MESSAGE)
    (tmp_path / "mail" / "dovecot.index").write_bytes(b"\0" * 100)
    (tmp_path / "mail" / "cur" / "1").write_bytes(b"From a@b Thu Jan  1 00:00:00 1970\n" + MESSAGE)
    found = [(folder.mailbox, folder.kind) for folder in folders(tmp_path / "mail", "INBOX", pytest.fail)]
    assert sorted(found) == [
        ("INBOX", "maildir"),
        ("Plain/Deep", "maildir"),
        ("Sent", "maildir"),
        ("Work/2024", "maildir"),
        ("old", "mbox"),
    ]
    assert folders(tmp_path / "mail", "Archive", pytest.fail)[1].mailbox.startswith("Archive/")


@pytest.mark.parametrize(
    ("path", "mailbox"),
    [
        (".&XeVPXA-.&T2BZfQ-", "工作/你好"),  # as Dovecot and Courier write it
        (".工作", "工作"),
        ("Clients/&XeVPXA-", "Clients/工作"),
        (".R&-D", "R&D"),
        (".R&D", "R&D"),
        ("R&-D", "R&-D"),
        (".v1&AC4-2", "v1.2"),
        ("..hidden", "hidden"),
        ("...", "INBOX"),
    ],
)
def test_folders_are_named_as_their_owner_reads_them(tmp_path: Path, path: str, mailbox: str) -> None:
    maildir(tmp_path / path)
    assert [folder.mailbox for folder in folders(tmp_path, "INBOX", pytest.fail)] == [mailbox]


@pytest.mark.parametrize(
    "name", ["Work/2024", "工作/你好", "R&D", "v1.2/.x", "..", "a/../b", "back\\slash", "工.作"]
)
def test_a_mailbox_keeps_its_name_in_a_maildir(tmp_path: Path, name: str) -> None:
    maildir(tmp_path / mailfiles.maildir_folder(name))
    assert [path.parent for path in tmp_path.rglob("cur")] == [tmp_path / mailfiles.maildir_folder(name)]
    assert [folder.mailbox for folder in folders(tmp_path, "INBOX", pytest.fail)] == [name]


def test_keywords_in_a_maildir_are_dovecots(tmp_path: Path) -> None:
    box = maildir(tmp_path / "m", **{"1:2,Sabf": MESSAGE, "2:2,z": MESSAGE, "3:2,c": MESSAGE})
    (box / "dovecot-keywords").write_text('0 $Junk\n1 Bill\n2 not"one\nnonsense\n99 x\n5 \U0001f4a9\n')
    found = {
        message.where[-7:]: message.keywords for message in read(Folder("INBOX", box, "maildir"), pytest.fail)
    }
    assert sorted(found.values()) == ["", "", "$Junk Bill"]
    assert mailfiles.maildir_letters("New $Junk", known := mailfiles.maildir_keywords(box)) == "ad"
    assert known["d"] == "New"


def test_thunderbird_keeps_flags_and_folders_its_own_way(tmp_path: Path) -> None:
    (tmp_path / "Work.sbd").mkdir()
    (tmp_path / "Work.sbd" / "2024").write_bytes(
        b"From - Thu Jan  1 00:00:00 2015\nX-Mozilla-Status: 0007\nSubject: x\n\nx\n"
    )
    (folder,) = folders(tmp_path, "INBOX", pytest.fail)
    (found,) = read(folder, pytest.fail)
    assert (folder.mailbox, found.flags) == ("Work/2024", Flag.SEEN | Flag.ANSWERED | Flag.FLAGGED)


def test_folders_that_were_empty_may_be_missing(tmp_path: Path) -> None:
    for name in ("cur", ".Only cur/cur", ".Only new/new", ".Only new/tmp", "new/new"):
        (tmp_path / name).mkdir(parents=True)
    found = [folder.mailbox for folder in folders(tmp_path, "INBOX", pytest.fail)]
    assert sorted(found) == ["INBOX", "Only cur", "Only new"]


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    box = maildir(tmp_path / "m", **{"1:2,S": MESSAGE})
    (box / "cur" / "2:2,S").symlink_to(tmp_path / "nowhere")
    (box / "cur" / "3").mkdir()
    skipped: list[str] = []
    assert len(list(read(Folder("INBOX", box, "maildir"), skipped.append))) == 1
    assert skipped == [f"{box / 'cur' / '2:2,S'}: cannot be read: No such file or directory"]


def test_a_file_that_calls_itself_an_mbox_and_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.mbox").write_bytes(b"From a@b Thu Jan  1 00:00:00 1970\n" + MESSAGE)
    (tmp_path / "b.mbox").write_bytes(b"\nFrom a@b Thu Jan  1 00:00:00 1970\n" + MESSAGE)
    (tmp_path / "b.msf").write_bytes(b"an index, of which nobody needs to hear")
    skipped: list[str] = []
    assert [folder.mailbox for folder in folders(tmp_path, "INBOX", skipped.append)] == ["a"]
    assert skipped == [f"{tmp_path / 'b.mbox'} is no mbox: its first line is not 'From sender date'"]


def test_what_is_neither_is_told(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("hello")
    with pytest.raises(ValueError, match="no mbox"):
        folders(tmp_path / "x", "INBOX", pytest.fail)
    with pytest.raises(ValueError, match="neither a Maildir"):
        folders(tmp_path, "INBOX", pytest.fail)
    with pytest.raises(ValueError, match="neither a file nor a folder"):
        folders(tmp_path / "y", "INBOX", pytest.fail)


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("1.a:2,FRS", Flag.FLAGGED | Flag.ANSWERED | Flag.SEEN),
        ("1.a:2,", 0),
        ("1.a", 0),
        ("1.a:2,TDab", Flag.DELETED | Flag.DRAFT),
        ("1.S:1,S", 0),
    ],
)
def test_maildir_flags(name: str, flags: int) -> None:
    assert mailfiles.maildir_flags(name) == flags


def test_maildir_messages_come_by_date_and_what_is_new_is_unseen(tmp_path: Path) -> None:
    box = maildir(tmp_path / "m", **{"2:2,S": MESSAGE, "1:2,F": MESSAGE})
    (box / "new" / "3:2,S").write_bytes(MESSAGE)
    (box / "cur" / ".hidden").write_bytes(MESSAGE)
    for n, path in enumerate([box / "new" / "3:2,S", box / "cur" / "1:2,F", box / "cur" / "2:2,S"]):
        os.utime(path, (1000 + n, 1000 + n))
    found = list(read(Folder("INBOX", box, "maildir"), pytest.fail))
    assert [(message.date, message.flags) for message in found] == [
        (1000, 0),
        (1001, Flag.FLAGGED),
        (1002, Flag.SEEN),
    ]
    assert found[0].content == MESSAGE.replace(b"\n", b"\r\n")


def test_an_mbox_with_quoted_from_lines_and_status(tmp_path: Path) -> None:
    text = (
        b"From a@b Thu Jan  1 00:16:40 1970\nSubject: 1\nStatus: RO\nX-Status: AF\n\nbody\n>From here\n>>From there\n"
        b"From me to you, no separator\n\n"
        b"From c@d Tue Jan 06 12:00:00 2026 +0200\nSubject: 2\n\n\n"
    )
    first, second = mbox(tmp_path / "m", text)
    assert first.content.endswith(
        b"\r\n\r\nbody\r\nFrom here\r\n>From there\r\nFrom me to you, no separator\r\n"
    )
    assert (first.date, first.flags) == (1000, Flag.SEEN | Flag.ANSWERED | Flag.FLAGGED)
    assert (second.content, second.date, second.flags) == (b"Subject: 2\r\n\r\n", 1767693600, 0)


def test_an_mbox_with_crlf_and_without_an_end(tmp_path: Path) -> None:
    (only,) = mbox(tmp_path / "m", b"From a@b Thu Jan  1 00:00:00 1970\r\nSubject: 1\r\n\r\nx\ny")
    assert only.content == b"Subject: 1\r\n\r\nx\r\ny"


def test_python_reads_the_mbox_that_we_write(tmp_path: Path) -> None:
    with (tmp_path / "m").open("wb") as file:
        mailfiles.write_mbox(file, b"Subject: 1\r\n\r\nFrom x\r\n", 0, Flag.SEEN | Flag.FLAGGED)
        mailfiles.write_mbox(file, b"Subject: 2\r\n\r\nlast", 86_400, 0)
    first, second = mailbox.mbox(tmp_path / "m")
    assert (first["Subject"], first.get_flags()) == ("1", "ROF")
    assert first.get_from() == "MAILER-DAEMON Thu Jan  1 00:00:00 1970"
    assert (second["Subject"], second.get_payload()) == ("2", "last\n")


lines = st.lists(
    st.sampled_from([b"", b"S: x", b"From a", b">From b", b"From a@b Thu Jan  1 00:00:00 1970"]), max_size=8
)


@given(lines, st.integers(0, 2**31), st.integers(0, 31))
@settings(max_examples=150, deadline=None)
def test_what_is_written_as_mbox_is_read_back(lines: list[bytes], date: int, flags: int) -> None:
    """With a header or without; only the empty line that ends a header is added where a message has none."""
    content = b"".join(line + b"\r\n" for line in lines)
    whole = content if b"" in lines else content + b"\r\n"
    file = io.BytesIO()
    mailfiles.write_mbox(file, content, date, flags, "$Junk Bill")
    mailfiles.write_mbox(file, content, date, flags, "$Junk Bill")
    file.seek(0)
    texts = [(line, mailfiles.to_crlf(text)) for line, text in mailfiles._mbox_texts(file)]
    assert len(texts) == 2
    for line, text in texts:
        assert mailfiles.from_date(line) == date
        message, found, keywords = mailfiles.from_mbox(text)
        assert (mailfiles.to_crlf(message), found, keywords) == (whole, flags, "$Junk Bill")


@given(st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_any_octets_are_read_as_something(content: bytes) -> None:
    for text in (content, b"From a@b Thu Jan  1 00:00:00 1970\n" + content):
        for line, message in mailfiles._mbox_texts(io.BytesIO(text)):
            mailfiles.from_date(line)
            assert b"\n" not in mailfiles.to_crlf(message).replace(b"\r\n", b"")


def test_a_large_mbox_is_read_in_linear_time(tmp_path: Path) -> None:
    text = b"From a@b Thu Jan  1 00:00:00 1970\nSubject: x\n\n" + b">From x\n" * 400_000
    start = time.process_time()
    (only,) = mbox(tmp_path / "m", text)
    assert len(only.content) > 3_000_000
    assert time.process_time() - start < 10


BODY = b"one\n\nFrom c@d Thu Jan  1 00:00:01 1970\ntwo\n"


@pytest.mark.parametrize(
    ("length", "count"), [(len(BODY), 2), (len(BODY) + 1, 2), (5, 3), (1000, 3), (10**11, 3), ("x", 3)]
)
def test_a_content_length_that_leads_to_the_next_message_is_believed(
    tmp_path: Path, length: object, count: int
) -> None:
    first = b"From a@b Thu Jan  1 00:00:00 1970\nSubject: 1\nContent-Length: %s\n\n" % str(length).encode()
    for last, more in ((b"", 0), (b"From e@f Thu Jan  1 00:00:02 1970\nSubject: 2\n\nx\n", 1)):
        found = mbox(tmp_path / "m", first + BODY + b"\n" + last)
        assert len(found) == count - 1 + more
        assert found[0].content.endswith(BODY.replace(b"\n", b"\r\n")) == (count == 2)


@pytest.mark.parametrize("year", ["12024 2024", "0000", "9999"])
def test_a_date_that_cannot_be_stops_nothing(tmp_path: Path, year: str) -> None:
    (only,) = mbox(tmp_path / "m", f"From a@b Jan 1 00:00:00 {year}\nSubject: 1\n\nx\n".encode())
    assert only.content == b"Subject: 1\r\n\r\nx\r\n"
