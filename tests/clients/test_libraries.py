"""Python's own smtplib, imaplib and poplib, IMAPClient and aiosmtplib."""

from __future__ import annotations

import imaplib
import poplib
import smtplib
import ssl
import threading

import aiosmtplib
import pytest
from clients.mail import (
    AWKWARD,
    FOLDER,
    FOLDER_UTF7,
    SUBJECT,
    TEXT,
    Person,
    assert_chinese,
    certificate,
    chinese,
    same_body,
)
from imapclient import IMAPClient
from support.demo import Demo


@pytest.fixture
def tls(demo: Demo) -> ssl.SSLContext:
    """Trusts the demo's certificate and checks the name."""
    return ssl.create_default_context(cafile=certificate(demo))


def test_smtplib_submits_with_starttls(alice: Person, bob: Person, tls: ssl.SSLContext) -> None:
    with smtplib.SMTP("localhost", alice.demo.port("submission")) as client:
        client.starttls(context=tls)
        client.login(alice.address, alice.password)
        refused = client.sendmail(alice.address, [bob.address], chinese(alice.address, bob.address))
    assert refused == {}
    assert_chinese(bob.mail()[0])


def test_smtplib_is_refused_nothing_but_the_wrong_recipient(alice: Person, bob: Person) -> None:
    with smtplib.SMTP(*alice.demo.address("smtp")) as client:
        refused = client.sendmail("a@elsewhere.example", [bob.address, "nobody@demo.test"], AWKWARD)
    assert refused.keys() == {"nobody@demo.test"}
    assert refused["nobody@demo.test"][0] == 550
    assert same_body(bob.mail()[0], AWKWARD)


def test_smtplib_over_implicit_tls_with_bcc_and_no_date(
    alice: Person, bob: Person, tls: ssl.SSLContext
) -> None:
    message = f"From: {alice.address}\r\nBcc: {bob.address}\r\nSubject: secret\r\n\r\nhi\r\n".encode()
    with smtplib.SMTP_SSL("localhost", alice.demo.port("submissions"), context=tls) as client:
        client.login(alice.address, alice.password)
        client.sendmail(alice.address, [bob.address], message)
    header = bob.mail()[0].partition(b"\r\n\r\n")[0]
    assert b"\r\nBcc:" not in header
    assert b"\r\nDate:" in header
    assert b"\r\nMessage-ID:" in header


async def test_aiosmtplib(alice: Person, bob: Person, tls: ssl.SSLContext) -> None:
    client = aiosmtplib.SMTP(
        hostname="localhost", port=alice.demo.port("submission"), start_tls=True, tls_context=tls
    )
    async with client:
        await client.login(alice.address, alice.password)
        await client.sendmail(alice.address, [bob.address], chinese(alice.address, bob.address))
    assert_chinese(bob.mail()[0])


def test_imaplib(alice: Person, tls: ssl.SSLContext) -> None:
    with imaplib.IMAP4("localhost", alice.demo.port("imap")) as client:
        client.starttls(tls)
        client.login(alice.address, alice.password)
        client.create(FOLDER_UTF7)
        assert client.append("INBOX", r"(\Seen)", '"01-Jan-2026 08:00:00 +0800"', AWKWARD)[0] == "OK"
        client.select()
        _, data = client.fetch("1", "(FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")
        assert isinstance(data[0], tuple)
        assert b"RFC822.SIZE %d" % len(AWKWARD) in data[0][0]
        assert b'INTERNALDATE "01-Jan-2026 08:00:00 +0800"' in data[0][0] or b"00:00:00 +0000" in data[0][0]
        assert data[0][1] == AWKWARD
        assert client.copy("1", FOLDER_UTF7)[0] == "OK"
        assert client.store("1", "+FLAGS", r"(\Deleted)")[0] == "OK"
        assert client.expunge()[1] == [b"1"]
        assert client.select(FOLDER_UTF7)[1] == [b"1"]
        assert client.search(None, "SEEN")[1] == [b"1"]
        assert client.rename(FOLDER_UTF7, "Moved")[0] == "OK"
        assert client.delete("Moved")[0] == "OK"


def test_imaplib_in_utf8(alice: Person, tls: ssl.SSLContext) -> None:
    name = f'"{FOLDER}"'
    message = f"From: 爱丽丝 <{alice.address}>\r\nSubject: {SUBJECT}\r\n\r\n{TEXT}".encode()
    with imaplib.IMAP4_SSL("localhost", alice.demo.port("imaps"), ssl_context=tls) as client:
        client.login(alice.address, alice.password)
        assert client.enable("UTF8=ACCEPT")[0] == "OK"
        assert client.create(name)[0] == "OK"
        assert any(f'"/" {name}'.encode() in line for line in client.list()[1] if isinstance(line, bytes))
        alice.put(message, folder=FOLDER_UTF7)  # here imaplib itself writes "UTF8 (" into what it appends
        assert client.select(name)[1] == [b"1"]
        assert client.search(None, "SUBJECT", '"预算"')[1] == [b"1"]
        part = client.fetch("1", "(ENVELOPE BODY[])")[1][0]
        assert isinstance(part, tuple)
        assert SUBJECT.encode() in part[0]
        assert alice.mail(FOLDER_UTF7) == [part[1]]


def test_imapclient_with_folders_flags_and_search_in_chinese(alice: Person, tls: ssl.SSLContext) -> None:
    message = chinese(alice.address, alice.address)
    client = IMAPClient("localhost", alice.demo.port("imaps"), ssl_context=tls)
    client.login(alice.address, alice.password)
    client.create_folder(FOLDER)
    assert FOLDER in [name for _, _, name in client.list_folders()]
    client.append(FOLDER, message, flags=[b"\\Flagged", b"$Work"])
    client.append(FOLDER, AWKWARD)
    client.select_folder(FOLDER)
    assert client.search(["SUBJECT", "预算"], charset="UTF-8") == [1]
    assert client.search(["BODY", "会议纪要"], charset="UTF-8") == [1]
    assert client.search(["KEYWORD", "$Work"]) == [1]
    fetched = client.fetch([1], ["ENVELOPE", "BODYSTRUCTURE", "FLAGS", "BODY.PEEK[2]"])[1]
    assert fetched[b"ENVELOPE"].from_[0].mailbox == b"alice"
    assert fetched[b"BODYSTRUCTURE"].is_multipart
    assert b"$Work" in fetched[b"FLAGS"]
    assert fetched[b"BODY[2]"] in message
    assert client.has_capability("MOVE")
    client.move([1], "INBOX")
    assert_chinese(alice.mail()[0])
    client.logout()


def test_imapclient_idles_until_mail_comes(alice: Person, tls: ssl.SSLContext) -> None:
    client = IMAPClient("localhost", alice.demo.port("imaps"), ssl_context=tls)
    client.login(alice.address, alice.password)
    client.select_folder("INBOX")
    client.idle()
    sender = threading.Timer(0.2, lambda: alice.put(AWKWARD))
    sender.start()
    responses = client.idle_check(timeout=60)
    sender.join()
    assert (1, b"EXISTS") in responses
    client.idle_done()
    client.logout()


def test_poplib(alice: Person, tls: ssl.SSLContext) -> None:
    message = chinese(alice.address, alice.address)
    alice.put(AWKWARD, message)
    client = poplib.POP3("localhost", alice.demo.port("pop3"))
    assert {"STLS", "TOP", "UIDL", "PIPELINING"} <= client.capa().keys()
    client.stls(context=tls)
    client.user(alice.address)
    client.pass_(alice.password)
    assert client.stat() == (2, len(AWKWARD) + len(message))
    assert b"\r\n".join([*client.retr(1)[1], b""]) == AWKWARD
    assert len({line.split()[1] for line in client.uidl()[1]}) == 2
    client.dele(1)
    alice.put(AWKWARD)  # comes in meanwhile, and stays
    client.quit()
    assert alice.mail() == [message, AWKWARD]
