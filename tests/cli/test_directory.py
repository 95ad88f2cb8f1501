"""Domains, accounts and aliases from the command line."""

from __future__ import annotations

import contextlib
import errno
import os
import pty
import re
import signal
import stat
import subprocess

import apsw
import pytest
from cli.command import Done, Shell
from support.demo import mailwright_command, source_path

from mailwright.base.clock import ManualClock
from mailwright.cli.exits import Exit
from mailwright.cli.opening import with_store
from mailwright.cli.running import lock_data
from mailwright.config import load
from mailwright.directory import accounts
from mailwright.directory.authenticator import DirectoryAuthenticator
from mailwright.directory.lockout import Lockout
from mailwright.mailauth.dkim import key as dkim
from mailwright.sasl.api import Denied
from mailwright.store import schema
from mailwright.store.store import Store


def can_log_in(shell: Shell, address: str, password: str) -> bool:
    """Whether the server would let them in."""

    async def ask(store: Store) -> bool:
        authenticator = DirectoryAuthenticator(store, Lockout(ManualClock(), 10, 60.0, exempt=lambda _: True))
        answer = await authenticator.verify_password(address, password, "127.0.0.1")
        authenticator.close()
        return not isinstance(answer, Denied)

    return with_store(load(shell.config), ask)


def test_init_makes_an_installation_that_needs_no_more(shell: Shell) -> None:
    done = shell(
        "init", "--hostname", "mail.example.org", "--domain", "example.org", "--data", shell.folder / "d"
    )
    assert done.code == Exit.OK
    assert "example.org. MX 10 mail.example.org." in done.out
    assert "mailwright account add you@example.org" in done.out
    config = load(shell.config)
    assert config.server.hostname == "mail.example.org"
    keys = sorted((config.dkim_directory / "example.org").glob("*.pem"))
    assert [key.name[0] for key in keys] == ["e", "r"]
    private = [*keys, config.server.data / "mail.sqlite"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in private)
    assert shell("domain", "list", "--json").json == ["example.org"]


def test_people_read_names_in_their_script_and_dns_its_own(shell: Shell) -> None:
    done = shell(
        "init", "--hostname", "mail.example.org", "--domain", "例子.测试", "--data", shell.folder / "d"
    )
    assert "xn--fsqu00a.xn--0zwm56d. MX 10 mail.example.org." in done.out
    assert "mailwright account add you@例子.测试" in done.out
    assert shell("account", "add", "王@例子.测试", "--generate").out.startswith(
        "Added 王@例子.测试. Its password: "
    )
    assert "王@例子.测试 " in shell("account", "list").out
    assert shell("account", "list", "--json").json[0]["address"] == "王@xn--fsqu00a.xn--0zwm56d"
    assert (
        shell("alias", "add", "全体@例子.测试", "王@例子.测试").out
        == "全体@例子.测试 now stands for 王@例子.测试.\n"
    )
    assert "例子.测试" in shell("domain", "list").out
    assert "例子.测试 still has 王@例子.测试" in shell("domain", "remove", "例子.测试").err


def test_a_reader_who_has_seen_enough_is_no_error(mailwright: Shell) -> None:
    command = [*mailwright_command(), "account", "list", "--json", "--config", str(mailwright.config)]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing) as closed:
        done = subprocess.run(
            command,
            stdout=closed,
            stderr=subprocess.PIPE,
            env={**os.environ, **source_path()},
            timeout=120,
            check=False,
        )
    assert done.stderr == b""


def test_a_narrow_terminal_cuts_nothing_off(mailwright: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")  # as if it were a terminal
    done = mailwright("account", "list")
    assert max(len(line) for line in re.sub(r"\x1b\[[0-9;]*m", "", done.out).splitlines()) <= 40
    assert "…" not in done.out


def test_ctrl_c_at_a_question_ends_as_ctrl_c_does(mailwright: Shell) -> None:
    command = [
        *mailwright_command(),
        "account",
        "remove",
        "alice@example.org",
        "--config",
        str(mailwright.config),
    ]
    ours, theirs = pty.openpty()
    environment = {**os.environ, **source_path()}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        asked = b""
        while b"?" not in asked:
            asked += os.read(ours, 1000)
        for _ in range(20):  # one that comes just before the command begins to read is seen with the next
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1)
                break
        else:
            process.kill()
        assert process.returncode == Exit.INTERRUPTED
    os.close(ours)
    assert [account["address"] for account in mailwright("account", "list", "--json").json] == [
        "alice@example.org"
    ]


def test_a_folder_may_have_any_name(shell: Shell) -> None:
    data = shell.folder / 'a "b" \\c\x7f\t邮件'
    config = shell.folder / "my config" / "m.toml"
    done = shell(
        "init", "--hostname", "a.example", "--domain", "b.example", "--data", data, "--config", config
    )
    assert (done.code, done.err) == (0, "")
    assert f"mailwright serve --config '{config}'" in done.out
    assert load(config).server.data == data


def test_init_that_failed_can_be_run_again(shell: Shell) -> None:
    data = shell.folder / "d"
    command = ("init", "--hostname", "a.example", "--domain", "b.example", "--data", data)
    (data / "mail.sqlite").mkdir(parents=True)  # which no database can be
    assert shell(*command).code == Exit.TEMPORARY
    (data / "mail.sqlite").rmdir()
    assert shell(*command).code == Exit.OK
    assert shell("domain", "list", "--json").json == ["b.example"]


def test_a_domain_without_keys_is_not_added(mailwright: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    generate = dkim.generate_key

    def full(algorithm: str) -> dkim.PrivateKey:
        if algorithm == dkim.RSA_SHA256:
            raise OSError(errno.ENOSPC, "No space left on device")
        return generate(algorithm)

    with monkeypatch.context() as patch:
        patch.setattr(dkim, "generate_key", full)
        assert mailwright("domain", "add", "b.example").code == Exit.TEMPORARY
    assert mailwright("domain", "list", "--json").json == ["example.org"]
    records = mailwright("domain", "add", "b.example", "--json").json
    assert sum("v=DKIM1" in record["value"] for record in records) == 2


def test_a_key_that_is_none_is_told(mailwright: Shell) -> None:
    key = next((load(mailwright.config).dkim_directory / "example.org").glob("r*.pem"))
    key.write_bytes(b"")
    done = mailwright("domain", "dns", "example.org")
    assert (done.code, done.out) == (Exit.FAILED, "")
    assert f"mailwright: {key} is no DKIM key: " in done.err
    key.rename(key.with_suffix(".old"))
    assert mailwright("domain", "dns", "example.org").code == Exit.OK


def test_init_replaces_nothing_unasked(shell: Shell) -> None:
    shell.config.write_text("# mine\n")
    done = shell("init", "--hostname", "a.example", "--domain", "a.example")
    assert done.code == Exit.FAILED
    assert "--force" in done.err
    assert shell.config.read_text() == "# mine\n"


def test_init_asks_for_what_is_missing(shell: Shell) -> None:
    done = shell("init", "--data", shell.folder / "d", stdin="mx.b.example\n\n")
    assert done.code == Exit.OK
    assert load(shell.config).server.hostname == "mx.b.example"
    assert shell("domain", "list", "--json").json == ["b.example"]


def test_init_refuses_names_that_are_none(shell: Shell) -> None:
    done = shell("init", "--hostname", "not a name", "--domain", "example.org", "--data", shell.folder / "d")
    assert done.code == Exit.FAILED
    assert "not a domain name" in done.err
    assert not shell.config.exists()


def test_records_are_the_same_each_time(mailwright: Shell) -> None:
    first = mailwright("domain", "dns", "example.org", "--json").json
    assert mailwright("domain", "dns", "EXAMPLE.org", "--json").json == first
    kinds = [(record["name"], record["type"]) for record in first]
    assert ("_dmarc.example.org", "TXT") in kinds
    assert ("_imaps._tcp.example.org", "SRV") in kinds
    values = {record["name"]: record["value"] for record in first}
    assert values["mail.example.org"] == "v=spf1 a -all", "reports have no sender: SPF asks for our name"
    rsa = next(record for record in first if "k=rsa" in record["value"])
    line = next(
        line for line in mailwright("domain", "dns", "example.org").out.splitlines() if "k=rsa" in line
    )
    assert all(len(text) <= 255 for text in line.split('"')[1::2])
    assert "".join(line.split('"')[1::2]) == rsa["value"]


def test_an_account_can_log_in_with_its_passwords_only(mailwright: Shell) -> None:
    assert can_log_in(mailwright, "alice@example.org", "secret")
    phone = mailwright("account", "app-password", "add", "alice@example.org", "phone", "--json").json[
        "password"
    ]
    assert can_log_in(mailwright, "alice@example.org", phone)
    new = mailwright("account", "password", "alice@example.org", "--generate").out.split("It is: ")[1].strip()
    assert can_log_in(mailwright, "alice@example.org", new)
    assert not can_log_in(mailwright, "alice@example.org", "secret")
    assert can_log_in(mailwright, "alice@example.org", phone)
    names = mailwright("account", "app-password", "list", "alice@example.org", "--json").json
    assert [entry["name"] for entry in names] == ["phone"]
    assert mailwright("account", "app-password", "remove", "alice@example.org", "phone").code == Exit.OK
    assert not can_log_in(mailwright, "alice@example.org", phone)


def test_disabling_stops_logins_and_enabling_lets_them_in_again(mailwright: Shell) -> None:
    mailwright("account", "disable", "alice@example.org")
    assert mailwright("account", "list", "--json").json[0]["disabled"] is True
    assert not can_log_in(mailwright, "alice@example.org", "secret")
    mailwright("account", "enable", "alice@example.org")
    assert can_log_in(mailwright, "alice@example.org", "secret")


def test_removing_an_account_asks_first(mailwright: Shell) -> None:
    assert mailwright("account", "remove", "alice@example.org", stdin="n\n").code == Exit.FAILED
    assert len(mailwright("account", "list", "--json").json) == 1
    assert mailwright("account", "remove", "alice@example.org", "--yes").code == Exit.OK
    assert mailwright("account", "list", "--json").json == []


@pytest.mark.parametrize(
    ("text", "octets"), [("5GiB", 5 << 30), ("500mb", 500 << 20), ("1024", 1024), ("none", None)]
)
def test_quotas(mailwright: Shell, text: str, octets: int | None) -> None:
    assert mailwright("account", "quota", "alice@example.org", text).code == Exit.OK
    assert mailwright("account", "list", "--json").json[0]["quota_bytes"] == octets


def test_aliases_and_the_catch_all(mailwright: Shell) -> None:
    mailwright("alias", "add", "sales@example.org", "alice@example.org", "x@elsewhere.example")
    mailwright("alias", "add", "@example.org", "alice@example.org")
    assert mailwright("alias", "list", "--json").json == {
        "@example.org": ["alice@example.org"],
        "sales@example.org": ["alice@example.org", "x@elsewhere.example"],
    }
    mailwright("alias", "remove", "sales@example.org", "x@elsewhere.example")
    assert mailwright("alias", "list", "--json").json["sales@example.org"] == ["alice@example.org"]
    assert mailwright("domain", "remove", "example.org").code == Exit.FAILED


def test_an_alias_that_leads_to_nobody_is_made_and_told(mailwright: Shell) -> None:
    good = mailwright("alias", "add", "a@example.org", "alice+tag@example.org", "x@elsewhere.example")
    assert (good.code, good.err) == (Exit.OK, "")
    done = mailwright("alias", "add", "b@example.org", "c@example.org", "alice@example.org")
    assert (done.code, "But there is no c@example.org here;" in done.err) == (Exit.OK, True)
    assert mailwright("alias", "add", "c@example.org", "d@example.org").err
    done = mailwright("alias", "add", "d@example.org", "c@example.org")
    assert (done.code, "But the alias c@example.org leads nowhere;" in done.err) == (Exit.OK, True)
    mailwright("account", "disable", "alice@example.org")
    assert "is disabled" in mailwright("alias", "add", "@example.org", "alice@example.org").err


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (("account", "add", "bob@elsewhere", "--generate"), Exit.FAILED, "mailwright domain add elsewhere"),
        (("account", "add", "alice@example.org", "--generate"), Exit.FAILED, "is there already"),
        (("account", "add", "bob", "--generate"), Exit.FAILED, "name@domain"),
        (("account", "add", "bob@example.org"), Exit.USAGE, "--generate or --password-stdin"),
        (("account", "add", "bob@example.org", "--password-stdin"), Exit.FAILED, "the password is empty"),
        (("account", "password", "bob@example.org", "--generate"), Exit.FAILED, "no account bob@example.org"),
        (("account", "quota", "alice@example.org", "much"), Exit.USAGE, "is no size"),
        (("account", "app-password", "remove", "alice@example.org", "tv"), Exit.FAILED, "no app password"),
        (("account", "add", "*@example.org", "--generate"), Exit.FAILED, "`mailwright alias add @example.org TARGET`"),
        (("alias", "add", "alice@example.org", "b@example.org"), Exit.FAILED, "is an account"),
        (("alias", "add", "b@example.org", "B@example.org"), Exit.FAILED, "cannot stand for itself"),
        (("alias", "remove", "no@example.org"), Exit.FAILED, "no alias"),
        (("domain", "add", "exa mple"), Exit.FAILED, "not a domain name"),
        (("domain", "add", "example.org"), Exit.FAILED, "is there already"),
        (("domain", "dns", "other.example"), Exit.FAILED, "it has example.org"),
        (("domain", "remove", "other.example"), Exit.FAILED, "no domain"),
        (("trace", "nobody@example.org"), Exit.FAILED, "nothing is known of nobody@example.org"),
        (("queue", "hold"), Exit.USAGE, "or --all"),
        (("acount", "list"), Exit.USAGE, "Did you mean 'account'?"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_told_with_its_remedy(
    mailwright: Shell, args: tuple[str, ...], code: Exit, told: str
) -> None:
    done = mailwright(*args)
    assert (done.code, told in done.err) == (code, True), done


def test_a_wrong_configuration_stops_every_command(mailwright: Shell) -> None:
    mailwright.config.write_text("[server]\nhostnme = 'x'\n")
    done = mailwright("account", "list")
    assert done.code == Exit.CONFIG
    assert (
        done.err == f"{mailwright.config}:2: [server] unknown setting 'hostnme'; did you mean 'hostname'?\n"
    )


def test_a_store_out_of_reach_is_a_temporary_failure(mailwright: Shell) -> None:
    mailwright.config.write_text(
        f'[server]\ndata = "{mailwright.folder}/data"\n[store]\ndatabase = "/dev/null/x"\n'
    )
    done = mailwright("account", "list")
    assert done.code == Exit.TEMPORARY
    assert "mailwright: " in done.err


def test_an_empty_queue(mailwright: Shell) -> None:
    assert mailwright("queue", "list", "--json").json == []
    assert mailwright("queue", "counts", "--json").json == []
    assert mailwright("queue", "retry", "--all").out == "Due now: 0 recipients.\n"


def test_public_folders_are_granted(shell: Shell) -> None:
    shell.install()
    assert "Nobody" in shell("public", "list").out
    assert shell("public", "grant", "alice@example.org").code == Exit.OK
    assert shell("public", "grant", "anyone", "lrs").code == Exit.OK
    assert shell("public", "list", "--json").json == {"alice@example.org": "lrswipkxtea", "anyone": "lrs"}
    assert shell("public", "grant", "anyone", "").code == Exit.OK
    assert shell("public", "list", "--json").json == {"alice@example.org": "lrswipkxtea"}
    strange = shell("public", "grant", "anyone", "lzr")
    assert (strange.code, "'z' is no right" in strange.err) == (Exit.USAGE, True)
    nobody = shell("public", "grant", "bob@example.org")
    assert (nobody.code, "no account bob@example.org" in nobody.err) == (Exit.FAILED, True)


def test_a_newer_version_leaves_the_schema_to_the_server_that_runs(
    mailwright: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load(mailwright.config)
    connection = apsw.Connection(config.database)
    migrations = list(schema._migrations())
    newer = ((9999, "newer"), "CREATE TABLE newer (id BIGINT)")
    monkeypatch.setattr(schema, "_migrations", lambda: iter([*migrations, newer]))
    with lock_data(config):
        done = mailwright("account", "list")
        assert (done.code, "restart it with this one first" in done.err) == (Exit.TEMPORARY, True)
        checks = {check["what"]: check for check in mailwright("doctor", "--offline", "--json").json}
        assert checks["store"]["level"] == "wrong"
        assert connection.execute("SELECT count(*) FROM schema_versions WHERE version = 9999").get == 0
    assert mailwright("account", "list").code == Exit.OK
    assert connection.execute("SELECT count(*) FROM schema_versions WHERE version = 9999").get == 1
    connection.close()


def test_an_app_password_is_replaced_even_when_there_can_be_no_more(
    mailwright: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "MAX_APP_PASSWORDS", 8)  # each takes its time

    def add(name: str) -> Done:
        return mailwright("account", "app-password", "add", "alice@example.org", name, "--json")

    for n in range(8):
        assert add(f"phone {n}").code == Exit.OK
    assert add("one more").code == Exit.FAILED
    assert can_log_in(mailwright, "alice@example.org", add("phone 7").json["password"])
