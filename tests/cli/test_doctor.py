"""The doctor finds what was broken on purpose, and says how to mend it."""

from __future__ import annotations

import errno
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
from cli.command import Shell

from mailwright.cli import checks
from mailwright.cli.checks import Check, Level, _host, _names_match, _published
from mailwright.cli.exits import Exit
from mailwright.cli.records import Record, host_record
from mailwright.config import load
from mailwright.dns.mock import MockResolver
from mailwright.tls.certificates import ensure_self_signed, self_signed


def quiet_ports(shell: Shell, extra: str = "") -> None:
    """Let the installation listen nowhere."""
    off = "".join(
        f"[listeners.{name}]\naddresses = []\n"
        for name in ("smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s")
        if f"[listeners.{name}]" not in extra
    )
    shell.config.write_text(shell.config.read_text() + off + extra)


def findings(shell: Shell, level: Level, *options: str) -> list[dict[str, Any]]:
    done = shell("doctor", "--offline", "--json", *options)
    found = [check for check in done.json if check["level"] == level.value]
    assert done.code == (Exit.FAILED if any(c["level"] == "wrong" for c in done.json) else Exit.OK)
    return found


def test_a_new_installation_is_well(mailwright: Shell) -> None:
    quiet_ports(mailwright)
    assert findings(mailwright, Level.WRONG, "--deep") == []
    (warning,) = findings(mailwright, Level.WARNING)
    assert (warning["what"], "[tls]" in warning["remedy"]) == ("certificate", True)


def test_the_words_are_for_people(mailwright: Shell) -> None:
    quiet_ports(mailwright)
    done = mailwright("doctor", "--offline")
    assert "warning certificate: none is given" in done.out
    assert "        -> other servers" in done.out
    assert "0 wrong, 1 warning." in done.out


def test_a_data_folder_open_to_others(mailwright: Shell) -> None:
    quiet_ports(mailwright)
    data = load(mailwright.config).server.data
    data.chmod(0o755)
    assert any(check["remedy"] == f"chmod 700 {data}" for check in findings(mailwright, Level.WARNING))


def test_a_folder_of_messages_open_to_others(mailwright: Shell) -> None:
    blobs = mailwright.folder / "blobs"
    blobs.mkdir(mode=0o755)
    quiet_ports(mailwright, '[store]\nblobs = "blobs"\n')
    assert any(check["remedy"] == f"chmod 700 {blobs}" for check in findings(mailwright, Level.WARNING))
    blobs.chmod(0o700)
    assert [check["what"] for check in findings(mailwright, Level.WARNING)] == ["certificate"]


@pytest.mark.parametrize(
    ("names", "age", "told"),
    [
        (["mail.example.org"], 400, "ended"),
        (["other.example"], 0, "not for mail.example.org"),
    ],
)
def test_a_bad_certificate(mailwright: Shell, names: list[str], age: int, told: str) -> None:
    certificate, key = self_signed(names, datetime.now(UTC) - timedelta(days=age))
    (mailwright.folder / "c.pem").write_bytes(certificate)
    (mailwright.folder / "k.pem").write_bytes(key)
    quiet_ports(mailwright, '[tls]\ncertificate = "c.pem"\nkey = "k.pem"\n')
    (wrong,) = findings(mailwright, Level.WRONG)
    assert told in wrong["text"]


def test_a_certificate_that_is_missing(mailwright: Shell) -> None:
    quiet_ports(mailwright, '[tls]\ncertificate = "c.pem"\nkey = "k.pem"\n')
    (wrong,) = findings(mailwright, Level.WRONG)
    assert "c.pem is missing" in wrong["text"]


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("UPDATE mailboxes SET messages = 3 WHERE name = 'INBOX'", "the mailbox INBOX of account"),
        ("INSERT INTO places VALUES (1, 1, 1, 77, 1, 0, 0, 1)", "1 places without a message"),
        ("INSERT INTO places VALUES (1, 1, 1, 77, 1, 0, 0, 99)", "1 places without flags"),
        ("UPDATE mailboxes SET fresh = 0 WHERE name = 'INBOX'", "1 mailboxes without flags for new mail"),
        ("UPDATE mailboxes SET unseen = 3 WHERE name = 'INBOX'", "the mailbox INBOX of account"),
    ],
)
def test_a_store_that_contradicts_itself(mailwright: Shell, sql: str, told: str) -> None:
    quiet_ports(mailwright)
    connection = apsw.Connection(load(mailwright.config).database)
    connection.execute(sql)
    connection.close()
    assert any(told in check["text"] for check in findings(mailwright, Level.WRONG))


def test_a_damaged_database(mailwright: Shell) -> None:
    quiet_ports(mailwright)
    Path(load(mailwright.config).database).write_bytes(b"not a database at all" * 500)
    assert any("damaged" in check["text"] for check in findings(mailwright, Level.WRONG))


def test_a_database_that_this_user_may_not_open_is_not_called_damaged(mailwright: Shell) -> None:
    quiet_ports(mailwright)
    database = Path(load(mailwright.config).database)
    database.rename(database.with_name("aside"))
    database.mkdir()
    (wrong,) = findings(mailwright, Level.WRONG)
    assert "cannot be opened or written" in wrong["text"]
    assert "as the user of the server" in wrong["remedy"]
    done = mailwright("account", "list")
    assert done.code == Exit.TEMPORARY
    assert "is this user's" in done.err


def test_what_this_user_may_not_see_stops_no_other_check(
    mailwright: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet_ports(mailwright)

    def refuse(*_: object) -> list[Check]:
        raise PermissionError(errno.EACCES, "Permission denied", "certificate.pem")

    monkeypatch.setattr(checks, "certificate", refuse)
    done = mailwright("doctor", "--offline", "--json")
    found = {check["what"]: check for check in done.json}
    assert (done.code, found["certificate"]["text"]) == (Exit.FAILED, "this user may not use certificate.pem")
    assert found["store"]["level"] == "ok"


def test_a_port_that_another_program_has(mailwright: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        quiet_ports(mailwright, f'[listeners.smtp]\naddresses = ["127.0.0.1:{port}"]\n')
        (wrong,) = findings(mailwright, Level.WRONG)
    assert (wrong["what"], "ss -ltnp" in wrong["remedy"]) == (f"smtp on 127.0.0.1:{port}", True)
    assert findings(mailwright, Level.WRONG) == []


def test_an_address_of_another_machine(mailwright: Shell) -> None:
    quiet_ports(mailwright, '[listeners.smtp]\naddresses = ["192.0.2.1:2525"]\n')
    (wrong,) = findings(mailwright, Level.WRONG)
    assert (wrong["text"], wrong["remedy"]) == (
        "cannot listen: this machine has no such address",
        "change it in [listeners]",
    )


def test_a_data_folder_that_is_missing_is_not_made(mailwright: Shell) -> None:
    quiet_ports(mailwright)
    data = load(mailwright.config).server.data
    data.rename(data.with_name("aside"))
    mailwright.config.write_text(mailwright.config.read_text() + '[dns]\nservers = ["127.0.0.1:1"]\n')
    for options in ((), ("--offline",)):
        done = mailwright("doctor", "--json", *options)
        assert (done.code, data.exists()) == (Exit.FAILED, False)
        (wrong,) = [check for check in done.json if check["level"] == "wrong"]
        assert wrong["remedy"] == f"mkdir -m 700 {data}"


@pytest.mark.parametrize("lost", ["certificate.pem", "key.pem"])
def test_a_certificate_that_the_server_makes_itself_is_nothing_to_mend(mailwright: Shell, lost: str) -> None:
    quiet_ports(mailwright)
    data = load(mailwright.config).server.data
    ensure_self_signed(data, ["another.example"], datetime.now(UTC) - timedelta(days=4000))
    told = [check["text"] for check in findings(mailwright, Level.WARNING)]
    assert [text.partition("certificate.pem")[2][:9] for text in told] == [
        " ended 36",
        " is for a",
        " is self-",
    ]
    (data / lost).write_bytes(b"")
    (warning,) = findings(mailwright, Level.WARNING)
    assert warning["remedy"] == "the server makes another when it starts"
    assert findings(mailwright, Level.WRONG) == []


def test_a_store_of_a_newer_version(mailwright: Shell) -> None:
    quiet_ports(mailwright)
    connection = apsw.Connection(load(mailwright.config).database)
    connection.execute("INSERT INTO schema_versions VALUES (999, 'of a time to come')")
    connection.close()
    (wrong,) = findings(mailwright, Level.WRONG)
    assert "schema version 999" in wrong["text"]
    assert wrong["remedy"] == "run the newer version that wrote it, or restore a backup"


def test_a_hook_that_ends_the_program_ends_no_check(mailwright: Shell) -> None:
    (mailwright.folder / "ends_all.py").write_text("raise SystemExit(0)\n")
    quiet_ports(mailwright, '[hooks]\nmodules = ["ends_all"]\ndirectory = "."\n')
    (wrong,) = findings(mailwright, Level.WRONG)
    assert "ends_all cannot be imported: SystemExit" in wrong["text"]


def test_what_would_keep_the_server_from_starting_after_a_change(mailwright: Shell) -> None:
    quiet_ports(
        mailwright,
        '[[queue.routes]]\nname = "smart"\nhosts = ["s.example"]\nusername = "me"\ntls = "verify"\n'
        'password_file = "absent"\n[hooks]\nmodules = ["absent_rules"]\n',
    )
    route, hooks = findings(mailwright, Level.WRONG)
    assert (route["what"], "No such file" in route["text"]) == ("route smart", True)
    assert (hooks["what"], "absent_rules" in hooks["text"]) == ("hooks", True)
    assert "set [hooks] directory" in hooks["remedy"]


def test_a_domain_whose_mail_is_not_signed(mailwright: Shell) -> None:
    quiet_ports(mailwright, '[dkim]\nselectors = ["r202601"]\n')
    (wrong,) = findings(mailwright, Level.WRONG)
    assert wrong["what"] == "DKIM of example.org"
    assert "[dkim] selectors names none of its keys: e" in wrong["remedy"]
    mailwright.config.write_text(mailwright.config.read_text().replace('["r202601"]', "[]"))
    assert findings(mailwright, Level.WRONG) == []
    for number, key in enumerate((load(mailwright.config).dkim_directory / "example.org").iterdir(), 1):
        key.write_text("no key")
        faults = findings(mailwright, Level.WRONG)
        assert len(faults) == number
        assert f"{key} is no DKIM key: not a private key in PEM" in "\n".join(
            check["text"] for check in faults
        )
        assert all(check["remedy"].startswith("put it back from a backup") for check in faults)
    for key in (load(mailwright.config).dkim_directory / "example.org").iterdir():
        key.unlink()
    (wrong,) = findings(mailwright, Level.WRONG)
    assert wrong["remedy"].startswith("`mailwright domain dns example.org` makes keys")


def test_wildcards_stand_for_one_label() -> None:
    assert _names_match(["*.example.org"], "mail.Example.org")
    assert not _names_match(["*.example.org"], "a.mail.example.org")
    assert not _names_match(["*.example.org"], "example.org")


async def test_what_dns_lacks_is_told_as_the_line_to_publish() -> None:
    resolver = MockResolver.from_text(
        "example.org MX 10 mail.example.org.\nother.example MX 10 mail.b.example."
    )
    good = await _published(resolver, Record("example.org", "MX", "10 mail.example.org.", ""))
    bad = await _published(resolver, Record("other.example", "MX", "10 mail.example.org.", ""))
    none = await _published(resolver, Record("_dmarc.example.org", "TXT", "v=DMARC1; p=none", ""))
    assert good.level is Level.OK
    assert (bad.level, bad.text) == (Level.WRONG, "is mail.b.example")
    assert none.remedy == 'publish: _dmarc.example.org. TXT "v=DMARC1; p=none"'
    host = await _published(resolver, host_record("mail.example.org"))
    assert (host.level, host.remedy) == (Level.WARNING, 'publish: mail.example.org. TXT "v=spf1 a -all"')


async def test_a_policy_is_the_administrators_but_a_key_must_be_ours() -> None:
    resolver = MockResolver.from_text(
        'example.org TXT "v=spf1 ip4:192.0.2.1 ~all"\ne._domainkey.example.org TXT "v=DKIM1; k=rsa; p=AAAA"'
    )
    spf = await _published(resolver, Record("example.org", "TXT", "v=spf1 mx -all", ""))
    key = await _published(resolver, Record("e._domainkey.example.org", "TXT", "v=DKIM1; k=rsa; p=BBBB", ""))
    same = await _published(resolver, Record("e._domainkey.example.org", "TXT", "v=DKIM1;k=rsa;p=AAAA", ""))
    assert (spf.level, key.level, same.level) == (Level.OK, Level.WRONG, Level.OK)


async def test_an_address_that_does_not_resolve_back_is_a_warning() -> None:
    resolver = MockResolver.from_text(
        "mail.example.org A 192.0.2.1\n1.2.0.192.in-addr.arpa PTR host.provider.example."
    )
    (check,) = await _host(resolver, "mail.example.org")
    assert (check.level, check.text) == (Level.WARNING, "192.0.2.1 resolves back to host.provider.example")
    (missing,) = await _host(resolver, "mx.example.org")
    assert missing.level is Level.WRONG


def test_damaged_content_and_a_wrong_index(mailwright: Shell, tmp_path: Path) -> None:
    quiet_ports(mailwright)
    box = tmp_path / "in.mbox"
    box.write_bytes(b"From a@b Thu Jan  1 00:00:00 1970\nSubject: one\n\nbody\n")
    assert mailwright("import", "alice@example.org", str(box)).code == Exit.OK
    assert "Indexed 1 message " in mailwright("account", "reindex", "alice@example.org").out
    assert findings(mailwright, Level.WRONG, "--deep") == []
    database = apsw.Connection(load(mailwright.config).database)
    database.execute("DELETE FROM search_texts")
    database.execute("UPDATE blobs SET hash = x'00'")
    database.close()
    content, index = findings(mailwright, Level.WRONG, "--deep")
    assert "is not what was kept" in content["text"]
    assert index["remedy"] == "`mailwright account reindex alice@example.org`"
    assert mailwright("account", "reindex", "alice@example.org").code == Exit.OK
    assert [check["what"] for check in findings(mailwright, Level.WRONG, "--deep")] == ["content"]
