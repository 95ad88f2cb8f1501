"""A configuration as people write it, right and wrong."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.config import Address, Config, ConfigError, load, parse


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, source="m")
    return str(caught.value).splitlines()


def test_an_empty_file_is_a_working_server() -> None:
    config = parse("")
    assert config == Config()
    assert config.database == "/var/lib/mailwright/mail.sqlite"
    assert config.listeners.smtp.addresses == (Address("0.0.0.0", 25), Address("::", 25))
    assert not config.auth.allow_plaintext_without_tls


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text('[log]\nlevel = "debug"\n', encoding="utf-8-sig")
    assert load(path).log.level == "debug"
    path.write_text('[log]\nlevl = "debug"\n', encoding="utf-8-sig")
    with pytest.raises(ConfigError, match=r"m\.toml:2: .* did you mean 'level'"):
        load(path)


def test_what_is_given_replaces_only_itself() -> None:
    config = parse('[listeners.imap]\nproxy_networks = ["10.0.0.0/8"]\n[limits]\nrecipients = 200\n')
    assert [str(network) for network in config.listeners.imap.proxy_networks] == ["10.0.0.0/8"]
    assert config.listeners.imap.addresses == Config().listeners.imap.addresses
    assert config.limits.recipients == 200
    assert config.limits.message_size == Config().limits.message_size


@pytest.mark.parametrize(
    ("text", "octets"),
    [('"50 MiB"', 52_428_800), ('"50MB"', 50_000_000), ("1024", 1024), ('"1.5 kib"', 1536), ('"7"', 7)],
)
def test_sizes(text: str, octets: int) -> None:
    assert parse(f"[limits]\nmessage_size = {text}").limits.message_size == octets


@pytest.mark.parametrize(
    ("text", "seconds"),
    [('"4h"', 14_400.0), ('"90 s"', 90.0), ("600", 600.0), ('"2d"', 172_800.0), ("0.5", 0.5)],
)
def test_times(text: str, seconds: float) -> None:
    assert parse(f"[queue]\nwarning_after = 0\nexpire_after = {text}").queue.expire_after == seconds


def test_a_list_of_times() -> None:
    assert parse('[queue]\nretries = ["1m", 90, "2h"]').queue.retries == (60.0, 90.0, 7200.0)


def test_addresses() -> None:
    config = parse('[listeners.smtp]\naddresses = ["127.0.0.1:2525", "[::1]:2525", "mx.example.org:25"]')
    assert config.listeners.smtp.addresses == (
        Address("127.0.0.1", 2525),
        Address("::1", 2525),
        Address("mx.example.org", 25),
    )
    assert str(config.listeners.smtp.addresses[1]) == "[::1]:2525"


def test_routes_are_sections_in_order() -> None:
    config = parse(
        '[[queue.routes]]\nname = "b"\nhosts = ["a.example"]\ndomains = ["b.example", ".c.example"]\n'
        '[[queue.routes]]\nname = "smart"\nhosts = ["s.example"]\nimplicit_tls = true\nusername = "me"\n'
    )
    assert [(route.name, route.domains, route.implicit_tls) for route in config.queue.routes] == [
        ("b", ("b.example", ".c.example"), False),
        ("smart", ("*",), True),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[limits]\n\nmesage_size = 1", "m:3: [limits] unknown setting 'mesage_size'; did you mean"),
        ("[quue]", "m:1: unknown setting 'quue'; did you mean 'queue'?"),
        ('[queue]\nseparator = "+"', "m:2: [queue] unknown setting 'separator'; it belongs to [delivery]"),
        ("[limits]\nrecipients = true", "m:2: [limits] recipients must be a whole number, not true"),
        ("[limits]\nrecipients = -1", "m:2: [limits] recipients must not be negative, but is -1"),
        ("[server]\nhostname = 7", "m:2: [server] hostname must be text in quotes, not 7"),
        ('[log]\nlevel = "wraning"', 'not "wraning"; did you mean "warning"?'),
        ('[log]\nlevel = "x"\n', '[log] level must be one of "debug", "info", "warning", "error", not "x"'),
        ('[limits]\nmessage_size = "50 MO"', '[limits] message_size must be a number of octets, or text'),
        ('[listeners.smtp]\naddresses = [\n "[::1]:99999",\n]', "has port 99999, but ports end at 65535"),
        ('[listeners.smtp]\naddresses = "[::1]:25"', 'must be a list, as in addresses = ["[::1]:25"]'),
        ('[listeners.smtp]\naddresses = ["::1:25"]', 'must be "host:port" or "[IPv6]:port", not "::1:25"'),
        ('[listeners]\nsmtp = "[::1]:25"', "m:2: [listeners] smtp is a section: write [listeners.smtp]"),
        ('[queue.routes]\nhost = "a"', "routes is a list of sections: write [[queue.routes]]"),
        ('[[queue.routes]]\nport = 25', "m:1: [[queue.routes]] needs a name"),
        ('[[queue.routes]]\nname = "x"\ndomains = [".a b"]', "m:3: [queue.routes] domains: 'a b' is not a domain name"),
        ('[[queue.routes]]\nname = "x"\nusername = "me"', 'm:1: [[queue.routes]] sends a password: set tls = "verify"'),
        ('[[queue.routes]]\nname = "x"\nprotocol = "lmtp"', "m:1: [[queue.routes]] needs hosts for LMTP"),
        ('[tls]\nkey = "k.pem"', "m:1: [tls] certificate and key go together"),
        ('[server]\nhostname = "mail..example"', "m:2: [server] hostname: 'mail..example' is not"),
        ('[queue]\nexpire_after = "1h"', "warning_after must come before expire_after"),
        ("[queue]\nretries = []", "m:2: [queue] retries needs a wait or more"),
        ('[store]\ndatabase = "mysql://x"', "m:2: [store] database must be a path or postgresql://"),
        ("[[queue.route]]\nname = 'x'", "m:1: [queue] unknown setting 'route'; did you mean 'routes'?"),
        ("quue.deliver = true", "m:1: unknown setting 'quue'; did you mean 'queue'?"),
        ('[log]\nlevel = "INFO"', 'not "INFO"; did you mean "info"?'),
        ("[queue]\njitter = nan", "m:2: [queue] jitter must be a number, not nan"),
        ("[queue]\nexpire_after = inf", "m:2: [queue] expire_after must be a number, not inf"),
        ("[queue]\nport = 99999", "m:2: [queue] port is 99999, but ports end at 65535"),
        ("[queue]\nconnections = 0", "m:2: [queue] connections must be more than 0"),
        ('[queue]\nsources = ["here"]', 'm:2: [queue] sources takes addresses such as "192.0.2.1", not "here"'),
        ('[queue]\nproxy = "proxy:1080"', 'm:2: [queue] proxy must be "socks5://[user:password@]host:port"'),
        ('[[queue.routes]]\nname = "x"\nproxy = "http://p:1"', "m:3: [queue.routes] proxy must be"),
        ('[[queue.routes]]\nname = "x"\nport = 70000', "m:3: [queue.routes] port is 70000, but ports end"),
        ('[[queue.routes]]\nname = "x"\nhosts = ["a b"]', "m:3: [queue.routes] hosts: 'a b' is not a domain name"),
        ('[[queue.routes]]\nname = "x"\nsenders = ["@a b"]', "m:3: [queue.routes] senders: 'a b' is not a domain"),
        ('[[queue.routes]]\nname = "x"\n[[queue.routes]]\nname = "x"', 'm:3: [[queue.routes]] has "x" twice'),
        ('sources = ["192.0.2.1"]', "m:1: unknown setting 'sources'; it belongs to [queue]"),
        ('[[queue.routes]]\nname = "x"\nsenders = ["b.example"]', 'm:3: [queue.routes] senders takes "user@b.example"'),
        ('[[queue.routes]]\nname = "x"\ndomains = []', "m:3: [queue.routes] domains are none, so the route is never"),
        ('[[queue.routes]]\nname = "x"\ndomains = ["*.b.example"]', '; write ".b.example"'),
        ('[[queue.routes]]\nname = "x"\ndomains = ["@b.example"]', '; write "b.example"'),
        ('[[queue.routes]]\nname = "x"\nhosts = ["s.example:587"]', '; write "s.example", and port = 587'),
        ('[[queue.routes]]\nname = "x"\nhelo = "a b"', "m:3: [queue.routes] helo: 'a b' is not a domain name"),
        ('[[queue.routes]]\nname = "x"\npassword = "p"', "has a password and no username"),
        ('[[queue.routes]]\nname = "a@b"', "m:2: [queue.routes] name: a route is called anything without @"),
        ('[[queue.routes]]\nname = "direct"', 'but not "direct", which is mail without a route'),
        (
            '[listeners.smtp]\naddresses = ["[::1]:2525"]\n[listeners.imap]\naddresses = ["[::1]:2525"]',
            "m:4: [listeners.imap] addresses has [::1]:2525 as smtp has; give it another port",
        ),
        ('[listeners.imap]\naddresses = ["[::]:25"]', "m:2: [listeners.imap] addresses has [::]:25 as smtp has"),
        ('[listeners.imap]\naddresses = ["a:1", "a:1"]', "m:2: [listeners.imap] addresses has a:1 twice"),
        ("[limits]\nsmtp_command_line = 0", "m:2: [limits] smtp_command_line must be more than 0"),
        ("[limits]\nrecipients = 5000", "m:1: [limits] smtp_commands must be 5010 at least, as a"),
        ('[dns]\nservers = ["dns.example:53"]', 'm:2: [dns] servers takes addresses such as "192.0.2.1"'),
        ("[dns]\ntimeout = 0", "m:2: [dns] timeout must be more than 0"),
        ('[server]\npostmaster = "me"', "m:2: [server] postmaster must be an address, name@domain"),
        ('[server]\ndata = "/a\\u0000b"', "m:2: [server] data must not hold the character NUL"),
        ('[server]\ndata = ""', "m:2: [server] data is empty: write a path, or leave it out"),
        ('[store]\nblobs = ""', 'm:2: [store] blobs must be "database" or the path of a folder'),
        ('[server]\nhostname = "a', "m:2: is not valid TOML: Unterminated string"),
        ('[server]\nhostname = "a"\n[server]\n', "m:3: is not valid TOML at column"),
        ("[limits]\nrecipients = 1" + "0" * 400, "m:2: [limits] recipients is more than can be counted"),
        ('[limits]\nmessage_size = "1' + "0" * 400 + ' GB"', "m:2: [limits] message_size is more than can be counted"),
        ('[dns]\nservers = ["127.0.0.1:0"]', "m:2: [dns] servers must have the port on which they answer"),
        ("[servers]\nhostname = 'a'", "m:1: unknown setting 'servers'; did you mean 'server'?"),
        ("x = " + "[" * 3000, "m: is not valid TOML: it is nested too deeply"),
        ("x = " + "9" * 5000, "m:1: is not valid TOML: Exceeds the limit"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_line_and_a_remedy(text: str, told: str) -> None:
    assert told in "\n".join(problems(text))


def test_domains_may_be_written_in_their_own_script() -> None:
    config = parse(
        '[server]\nhostname = "邮件.例子.中国"\n[[queue.routes]]\nname="x"\ndomains = ["例子.中国", ".例子.中国", "*"]'
        '\nhosts = ["[mx:relay.example]", "192.0.2.1", "::1"]\nsenders = ["@例子.中国"]\nproxy = "socks5://u:p@[::1]:1080"\n'
    )
    assert config.server.hostname == "xn--5nq051n.xn--fsqu00a.xn--fiqs8s"
    (route,) = config.queue.routes
    assert route.senders == ("@xn--fsqu00a.xn--fiqs8s",)
    assert route.domains == ("xn--fsqu00a.xn--fiqs8s", ".xn--fsqu00a.xn--fiqs8s", "*")


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = '# a comment\n[limits]\nx = """\n[server]\ny = 1\n"""\n[server]\ny = [\n1,\n]\n'
    text += '"z" = {a.b = 1}\n[dns]\nw = 2 # w\n'
    assert [line.split(": ")[0] for line in problems(text)] == [f"m:{n}" for n in (3, 8, 11, 13)]


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mailwright init"):
        load(tmp_path / "none.toml")


def test_a_file_in_another_charset_is_told(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_bytes(b'[server]\nhostname = "\xe9"')
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "m.toml")


def test_relative_paths_start_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    file.write_text(
        '[server]\ndata = "data"\n[store]\ndatabase = "m.db"\nblobs = "blobs"\n'
        '[tls]\ncertificate="c"\nkey="/k"'
    )
    config = load(file)
    assert config.server.data == tmp_path / "data"
    assert config.database == str(tmp_path / "m.db")
    assert config.store.blobs == str(tmp_path / "blobs")
    assert (config.tls.certificate, config.tls.key) == (tmp_path / "c", Path("/k"))


def test_a_postgresql_url_is_left_alone() -> None:
    config = parse('[store]\ndatabase = "postgresql://mail@db.example/mail"')
    assert config.is_postgres
    assert config.database == "postgresql://mail@db.example/mail"


@given(st.text(alphabet="[]{}=\"'.#\n ab1,_", max_size=80))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_configuration_or_a_told_mistake(text: str) -> None:
    with contextlib.suppress(ConfigError):
        parse(text)
