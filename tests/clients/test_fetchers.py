"""Programs that fetch and synchronise: curl, mbsync, offlineimap, getmail, fetchmail, mpop, neomutt."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from clients.mail import (
    AWKWARD,
    FOLDER,
    FOLDER_UTF7,
    Person,
    Runner,
    assert_chinese,
    bodies,
    certificate,
    chinese,
)
from clients.synchronisers import mbsync, offlineimap, transferred
from support.getmail import keeping

TLS = {
    "imap": [],
    "imap+starttls": ["--ssl-reqd"],
    "imaps": [],
    "pop3": [],
    "pop3+stls": ["--ssl-reqd"],
    "pop3s": [],
}


def curl(run: Runner, person: Person, service: str, path: str, *options: str, stdin: bytes = b"") -> bytes:
    scheme = service.partition("+")[0]
    url = f"{scheme}://localhost:{person.demo.port(scheme)}/{path}"
    login = ["--user", f"{person.address}:{person.password}", "--cacert", certificate(person.demo)]
    return run("curl", "curl", "-sS", *TLS[service], *login, *options, url, stdin=stdin)


@pytest.mark.parametrize("service", ["imap", "imap+starttls", "imaps"])
def test_curl_reads_imap(alice: Person, run: Runner, service: str) -> None:
    message = chinese(alice.address, alice.address)
    alice.put(AWKWARD, message)
    first = curl(run, alice, service, "INBOX", "-X", "UID SEARCH ALL").split()[2].decode()
    assert curl(run, alice, service, f"INBOX;UID={first}") == AWKWARD
    assert_chinese(curl(run, alice, service, "INBOX;MAILINDEX=2"))
    header = curl(run, alice, service, "INBOX;MAILINDEX=2;SECTION=HEADER.FIELDS%20(SUBJECT)")
    assert header.startswith(b"Subject: =?utf-8?")
    assert b'"/" INBOX\r\n' in curl(run, alice, service, "")


def test_curl_appends_and_flags(alice: Person, run: Runner) -> None:
    file = run.settings("message.eml", "")
    Path(file).write_bytes(AWKWARD)
    curl(run, alice, "imap", "", "-X", f'CREATE "{FOLDER_UTF7}"')
    curl(run, alice, "imaps", FOLDER_UTF7.replace("&", "%26").replace("/", "%2F"), "--upload-file", file)
    assert alice.mail(FOLDER_UTF7) == [AWKWARD]
    curl(
        run,
        alice,
        "imap",
        FOLDER_UTF7.replace("&", "%26").replace("/", "%2F"),
        "-X",
        r"STORE 1 +FLAGS \Flagged",
    )
    assert "\\Flagged" in alice.flags(FOLDER_UTF7)[0]


@pytest.mark.parametrize("service", ["pop3", "pop3+stls", "pop3s"])
def test_curl_reads_pop3(alice: Person, run: Runner, service: str) -> None:
    message = chinese(alice.address, alice.address)
    alice.put(AWKWARD, message)
    listing = curl(run, alice, service, "")
    assert listing == b"1 %d\r\n2 %d\r\n" % (len(AWKWARD), len(message))
    assert curl(run, alice, service, "1") == AWKWARD
    curl(run, alice, service, "1", "-X", "DELE", "--list-only")
    assert alice.mail() == [message]


@pytest.mark.parametrize("tls", ["None", "STARTTLS", "IMAPS"])
def test_mbsync_both_ways_twice(alice: Person, run: Runner, tmp_path: Path, tls: str) -> None:
    message = chinese(alice.address, alice.address)
    alice.put(AWKWARD, message, flags="(\\Seen \\Flagged)")
    alice.put(message, folder=FOLDER_UTF7)
    assert transferred(mbsync(run, alice, tmp_path, tls=tls)) == {"FETCH": 3}
    assert len(bodies(tmp_path / "mail" / FOLDER_UTF7)) == 1
    assert not transferred(mbsync(run, alice, tmp_path, tls=tls))

    new = tmp_path / "mail" / "INBOX" / "new" / "1700000000.1_1.host"
    new.write_bytes(message.replace(b"\r\n", b"\n"))
    flagged = next((tmp_path / "mail" / "INBOX" / "cur").glob("*:2,F*"))
    flagged.rename(flagged.with_name(flagged.name.replace(":2,FS", ":2,FRST")))  # answered, and to be removed
    assert transferred(mbsync(run, alice, tmp_path, tls=tls)) == {"APPEND": 1, "STORE": 1}
    assert len(alice.mail()) == 2
    assert_chinese(alice.mail()[-1])
    assert not transferred(mbsync(run, alice, tmp_path, tls=tls))


def test_offlineimap_both_ways_twice(alice: Person, run: Runner, tmp_path: Path) -> None:
    message = chinese(alice.address, alice.address)
    alice.put(AWKWARD, message, flags="(\\Seen \\Flagged)")
    alice.put(message, folder=FOLDER_UTF7)
    assert offlineimap(run, alice).count("Copy message") == 3
    assert len(bodies(tmp_path / "mail" / FOLDER)) == 1
    assert "Copy message" not in offlineimap(run, alice)

    inbox = tmp_path / "mail" / "INBOX"
    (inbox / "new" / "1700000000.1_1.host").write_bytes(message.replace(b"\r\n", b"\n"))
    flagged, removed = sorted(inbox.glob("cur/*"), key=lambda file: file.stat().st_size)
    flagged.rename(flagged.with_name(flagged.name.replace(":2,FS", ":2,FRS")))
    removed.unlink()
    offlineimap(run, alice)
    assert alice.flags() == [{"\\Seen", "\\Flagged", "\\Answered"}, set()]
    assert_chinese(alice.mail()[1])
    assert "Copy message" not in offlineimap(run, alice)


@pytest.mark.parametrize("kind", ["SimpleIMAPRetriever", "SimpleIMAPSSLRetriever", "SimplePOP3SSLRetriever"])
def test_getmail(alice: Person, run: Runner, tmp_path: Path, kind: str) -> None:
    alice.put(AWKWARD, chinese(alice.address, alice.address))
    maildir = tmp_path / "Maildir"
    for name in ("cur", "new", "tmp"):
        (maildir / name).mkdir(parents=True)
    service = ("imap" if "IMAP" in kind else "pop3") + ("s" if "SSL" in kind else "")
    run.settings(
        "getmailrc",
        f"[retriever]\ntype = {kind}\nserver = localhost\nport = {alice.demo.port(service)}\n"
        f"username = {alice.address}\npassword = {alice.password}\n"
        + (f"ca_certs = {certificate(alice.demo)}\n" if "SSL" in kind else "")
        + keeping(maildir / "new")
        + "[options]\nread_all = false\ndelete = false\n",
    )
    for _ in range(2):  # the second time there is nothing new
        run("getmail", "getmail6", "-g", str(tmp_path))
        assert len(bodies(maildir)) == 2
    assert any(AWKWARD.endswith(body) for body in bodies(maildir))


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_fetchmail(alice: Person, run: Runner, tmp_path: Path, protocol: str) -> None:
    alice.put(AWKWARD, chinese(alice.address, alice.address))
    kept = tmp_path / "kept"
    kept.mkdir()
    settings = run.settings(
        "fetchmailrc",
        f"poll localhost protocol {protocol} port {alice.demo.port(protocol + 's')} "
        f"{'uidl' if protocol == 'pop3' else ''} user {alice.address!r} "
        f"password {alice.password!r} keep ssl sslcertck sslcertfile {certificate(alice.demo)!r} "
        f"mda {shlex.quote(f'cat > {kept}/$$')}\n",
    )
    files = ["-f", settings, "-i", str(tmp_path / "ids"), "--pidfile", str(tmp_path / "pid"), "--nobounce"]
    run("fetchmail", "fetchmail", *files)
    assert len(list(kept.iterdir())) == 2
    run("fetchmail", "fetchmail", *files, code=1)  # no new mail
    run("fetchmail", "fetchmail", *files, "--all", "--nokeep")
    assert alice.mail() == []


def test_mpop(alice: Person, run: Runner, tmp_path: Path) -> None:
    message = chinese(alice.address, alice.address)
    alice.put(message, AWKWARD)
    maildir = tmp_path / "Maildir"
    for name in ("cur", "new", "tmp"):
        (maildir / name).mkdir(parents=True)
    settings = run.settings(
        "mpoprc",
        f"account default\nhost localhost\nport {alice.demo.port('pop3s')}\ntls on\ntls_starttls off\n"
        f"tls_trust_file {certificate(alice.demo)}\nuser {alice.address}\npassword {alice.password}\n"
        f"keep on\ndelivery maildir {maildir}\nuidls_file {tmp_path}/uidls\n",
    )
    for _ in range(2):
        run("mpop", "mpop", "-C", settings)
        assert len(bodies(maildir)) == 2


def test_neomutt_copies_and_deletes(alice: Person, run: Runner) -> None:
    """It is driven by keys on a terminal of its own, which script(1) gives it."""
    message = chinese(alice.address, alice.address)
    alice.put(message, AWKWARD)
    alice.put(folder=FOLDER_UTF7)
    settings = run.settings(
        "muttrc",
        f'set folder = "imaps://localhost:{alice.demo.port("imaps")}/"\nset spoolfile = "+INBOX"\n'
        f'set imap_user = "{alice.address}"\nset imap_pass = "{alice.password}"\n'
        f'set certificate_file = "{certificate(alice.demo)}"\nset ssl_verify_host = no\n'
        "set confirmappend = no\nset delete = yes\nset wait_key = no\n"
        'set move = no\nset quit = yes\nset header_cache = ""\n',
    )
    keys = f"<first-entry><copy-message>={FOLDER}<enter><last-entry><delete-message><sync-mailbox><quit>"
    command = shlex.join(["neomutt", "-n", "-F", settings, "-e", f"push '{keys}'"])
    run("neomutt", "neomutt", "-v")  # or skip
    run("script", "bsdutils", "-qec", command, "/dev/null")
    assert alice.mail(FOLDER_UTF7) == [message]
    assert alice.mail() == [message]
