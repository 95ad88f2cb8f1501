"""Programs that send: swaks, curl, msmtp, neomutt."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from clients.mail import AWKWARD, Person, Runner, assert_chinese, certificate, chinese, same_body
from support.demo import Demo

TLS = {"submission": ["--tls"], "submissions": ["--tls-on-connect"]}


def server(demo: Demo, service: str) -> list[str]:
    return ["--server", f"localhost:{demo.port(service)}", "--silent", "2"]


@pytest.mark.parametrize("options", [[], ["--tls"], ["--pipeline"], ["--protocol", "SMTP"]], ids=str)
def test_swaks_delivers(demo: Demo, bob: Person, run: Runner, options: list[str]) -> None:
    file = run.settings("message.eml", "")
    Path(file).write_bytes(AWKWARD[:-2])  # swaks adds the last line end
    envelope = ["--from", "someone@elsewhere.example", "--to", bob.address]
    run("swaks", "swaks", *server(demo, "smtp"), *envelope, "--data", f"@{file}", *options)
    (content,) = bob.mail()
    assert same_body(content, AWKWARD)
    assert content.startswith(b"Return-Path: <someone@elsewhere.example>\r\n")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("service", ["submission", "submissions"])
def test_swaks_submits(
    demo: Demo, alice: Person, bob: Person, run: Runner, service: str, mechanism: str
) -> None:
    file = run.settings("message.eml", "")
    Path(file).write_bytes(chinese(alice.address, bob.address))
    login = ["--auth", mechanism, "--auth-user", alice.address, "--auth-password", alice.password]
    envelope = ["--from", alice.address, "--to", bob.address, "--data", f"@{file}"]
    run("swaks", "swaks", *server(demo, service), *TLS[service], *login, *envelope)
    assert_chinese(bob.mail()[0])


def test_swaks_delivers_by_lmtp_to_two(demo: Demo, alice: Person, bob: Person, run: Runner) -> None:
    to = f"{alice.address},{bob.address}"
    envelope = ["--protocol", "LMTP", "--from", "<>", "--to", to, "--body", "by LMTP"]
    run("swaks", "swaks", *server(demo, "lmtp"), *envelope)
    for person in (alice, bob):
        (content,) = person.mail()
        assert b"by LMTP" in content


def test_swaks_finds_no_open_relay(demo: Demo, run: Runner) -> None:
    envelope = ["--from", "a@elsewhere.example", "--to", "b@example.net"]
    said = run("swaks", "swaks", "--server", f"localhost:{demo.port('smtp')}", *envelope, code=24)
    assert b" 550 5.7.1 " in said


def test_swaks_is_told_of_unknown_recipients_and_wrong_passwords(
    demo: Demo, alice: Person, run: Runner
) -> None:
    smtp = ["--server", f"localhost:{demo.port('smtp')}", "--from", "a@elsewhere.example"]
    said = run("swaks", "swaks", *smtp, "--to", "nobody@demo.test", code=24)
    assert b" 550 5.1.1 " in said
    login = ["--auth", "PLAIN", "--auth-user", alice.address, "--auth-password", "wrong"]
    submission = ["--server", f"localhost:{demo.port('submission')}", "--tls", *login]
    said = run("swaks", "swaks", *submission, "--from", alice.address, "--to", alice.address, code=28)
    assert b" 535 5.7.8 " in said


@pytest.mark.parametrize("login", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("scheme", ["smtp", "smtp+starttls", "smtps"])
def test_curl(demo: Demo, alice: Person, bob: Person, run: Runner, scheme: str, login: str) -> None:
    file = run.settings("message.eml", "")
    Path(file).write_bytes(chinese(alice.address, bob.address))
    port = demo.port("submissions" if scheme == "smtps" else "submission")
    tls = [] if scheme == "smtp" else ["--ssl-reqd", "--cacert", certificate(demo)]
    options = ["--login-options", f"AUTH={login}", "--user", f"{alice.address}:{alice.password}"]
    envelope = ["--mail-from", alice.address, "--mail-rcpt", bob.address, "--upload-file", file]
    url = f"{scheme.partition('+')[0]}://localhost:{port}/client.example"
    run("curl", "curl", "-sS", *tls, *options, *envelope, url)
    assert_chinese(bob.mail()[0])


@pytest.mark.parametrize("login", ["plain", "login", "scram-sha-256"])
@pytest.mark.parametrize("service", ["submission", "submissions"])
def test_msmtp(demo: Demo, alice: Person, bob: Person, run: Runner, service: str, login: str) -> None:
    settings = run.settings(
        "msmtprc",
        f"account default\nhost localhost\nport {demo.port(service)}\ntls on\n"
        f"tls_starttls {'on' if service == 'submission' else 'off'}\ntls_trust_file {certificate(demo)}\n"
        f"auth {login}\nuser {alice.address}\npassword {alice.password}\nfrom {alice.address}\n",
    )
    run("msmtp", "msmtp", "-C", settings, bob.address, stdin=chinese(alice.address, bob.address))
    assert_chinese(bob.mail()[0])


def test_msmtp_asks_what_the_server_can(demo: Demo, run: Runner) -> None:
    options = ["--host=localhost", f"--port={demo.port('submission')}", "--tls=on", "--tls-certcheck=off"]
    said = run("msmtp", "msmtp", "--serverinfo", *options)
    for word in (b"SIZE", b"STARTTLS", b"AUTH", b"PLAIN", b"SCRAM-SHA-256", b"PIPELINING"):
        assert word in said


def test_msmtp_shows_the_refusal_of_a_foreign_sender(
    demo: Demo, alice: Person, bob: Person, run: Runner
) -> None:
    settings = run.settings(
        "msmtprc",
        f"account default\nhost localhost\nport {demo.port('submission')}\ntls on\n"
        f"tls_trust_file {certificate(demo)}\nauth on\nuser {alice.address}\npassword {alice.password}\n",
    )
    said = run("msmtp", "msmtp", "-C", settings, "-f", bob.address, bob.address, stdin=AWKWARD, code=65)
    assert b"5.7.1" in said
    assert bob.mail() == []


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_neomutt(demo: Demo, alice: Person, bob: Person, run: Runner, scheme: str, tmp_path: Path) -> None:
    port = demo.port("submissions" if scheme == "smtps" else "submission")
    url = f"{scheme}://{alice.address.replace('@', '%40')}:{alice.password}@localhost:{port}/"
    settings = run.settings(
        "muttrc",
        f'set from = "{alice.address}"\nset smtp_url = "{url}"\nset ssl_starttls = yes\n'
        f'set ssl_force_tls = yes\nset certificate_file = "{certificate(demo)}"\nset ssl_verify_host = no\n'
        'set record = ""\nset send_charset = "utf-8"\n',
    )
    attachment = tmp_path / "报告.bin"
    attachment.write_bytes(bytes(range(256)) * 40)
    arguments = ["-F", settings, "-n", "-s", "季度报告", "-a", str(attachment), "--", bob.address]
    run("neomutt", "neomutt", *arguments, stdin="附上报告。\n".encode())
    message = message_from_bytes(bob.mail()[0], policy=policy.default)
    assert message["Subject"] == "季度报告"
    assert isinstance(message, EmailMessage)
    text, file = message.iter_parts()
    assert text.get_content().split() == ["附上报告。"]
    assert file.get_filename() == "报告.bin"
    assert file.get_content() == bytes(range(256)) * 40
