"""PLAIN, LOGIN, SASLprep, base64 lines, and the whole way through a login."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.sasl.api import Account, Denied, Ended
from mailwright.sasl.client import ClientMechanism, LoginClient, PlainClient, ServerFault, choose_mechanism
from mailwright.sasl.login import log_in
from mailwright.sasl.saslprep import ProhibitedText, prepare_password, saslprep
from mailwright.sasl.secret import ScramSecret
from mailwright.sasl.server import offered_mechanisms, server_mechanism
from mailwright.sasl.steps import Challenge, Failure, ServerMechanism, VerifyPassword
from mailwright.sasl.wire import Cancelled, InvalidResponse, decode_initial_response, decode_response

ALICE = Account(1, "alice@example.org")
SECRET = ScramSecret.from_password("secret", b"0123456789abcdef", 4096)


def machine(name: str, binding: bytes | None = None) -> ServerMechanism:
    return server_mechanism(name, channel_binding=binding, nonce="snonce", server_secret=b"secret")


@pytest.mark.parametrize(
    ("message", "step"),
    [
        (b"\0alice\0secret", VerifyPassword("", "alice", "secret")),
        (b"admin\0alice\0secret", VerifyPassword("admin", "alice", "secret")),
        ("\0ａlice\0pass\u00a0word".encode(), VerifyPassword("", "alice", "pass word")),
    ],
)
def test_plain(message: bytes, step: VerifyPassword) -> None:
    assert machine("PLAIN").start(message) == step
    late = machine("PLAIN")
    assert late.start(None) == Challenge(b"")
    assert late.respond(message) == step


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"alice",
        b"\0alice",
        b"\0alice\0",
        b"\0\0secret",
        b"\0alice\0sec\0ret",
        b"\0\xff\0secret",
        b"\0alice\0\xff",
        b"\0a\x07\0secret",
        b"\0" + b"a" * 2000 + b"\0secret",
        b"\0alice\0" + b"a" * 2000,
        "\0\u00ad\0secret".encode(),
    ],
)
def test_plain_malformed(message: bytes) -> None:
    assert isinstance(machine("PLAIN").start(message), Failure)


def test_login_asks_for_both() -> None:
    login = machine("LOGIN")
    assert login.start(None) == Challenge(b"Username:")
    assert login.respond(b"alice") == Challenge(b"Password:")
    assert login.respond(b"secret") == VerifyPassword("", "alice", "secret")


def test_login_takes_the_name_as_initial_response() -> None:
    login = machine("LOGIN")
    assert login.start(b"alice") == Challenge(b"Password:")
    assert login.respond(b"") == Failure("the user name or the password is empty or too long")


def test_unknown_mechanism() -> None:
    with pytest.raises(KeyError):
        machine("CRAM-MD5")


def test_plus_is_offered_only_with_channel_binding() -> None:
    allowed = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS")
    assert offered_mechanisms(allowed, True) == ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN")
    assert offered_mechanisms(allowed, False) == ("SCRAM-SHA-256", "PLAIN")


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("🔑", "🔑"),
        ("", ""),
    ],
)
def test_examples_of_rfc_4013_3(text: str, prepared: str) -> None:
    assert saslprep(text) == prepared


@pytest.mark.parametrize("text", ["\u0007", "\u0627\u0031", "\u0627a\u0627", "\ufffd", "a\x7f"])
def test_prohibited_of_rfc_4013_3(text: str) -> None:
    with pytest.raises(ProhibitedText):
        saslprep(text)
    assert prepare_password(text) == text


@pytest.mark.parametrize(
    "line", [b"YWxpY2U", b"YWxp=", b"YWxp\r", b"YW xp", b"====", b"YWxp=YWxp", b"YWxp\xff", b"A" * 20000]
)
def test_base64_is_strict(line: bytes) -> None:
    with pytest.raises(InvalidResponse):
        decode_response(line)


def test_lines_of_a_client() -> None:
    assert decode_response(b"") == b""
    assert decode_response(b"YWxpY2U=") == b"alice"
    assert decode_initial_response(b"=") == b""
    with pytest.raises(Cancelled):
        decode_response(b"*")
    with pytest.raises(InvalidResponse):
        decode_response(b"=")


class Directory:
    """Knows alice, whose password is `secret`, and remembers what it was asked."""

    def __init__(self, denied: Denied | None = None) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.denied = denied
        self.secret = SECRET

    async def verify_password(self, username: str, password: str, peer: str) -> Account | Denied:
        self.asked.append(("verify", username, password, peer))
        return ALICE if (username, password) == ("alice", "secret") else Denied(False, "Wrong")

    async def scram_secret(self, username: str, peer: str) -> ScramSecret | Denied | None:
        return self.denied or (self.secret if username == "alice" else None)

    async def scram_succeeded(self, username: str, peer: str) -> Account | Denied:
        self.asked.append(("succeeded", username, peer))
        return ALICE

    async def scram_failed(self, username: str, peer: str) -> None:
        self.asked.append(("failed", username, peer))

    def watch(self, account: Account, ended: Callable[[Ended], None]) -> Callable[[], None]:
        return lambda: None


def run(client: ClientMechanism, directory: Directory, initial: bool = True) -> Account | Denied:
    async def converse(challenge: bytes) -> bytes:
        if client.name != "LOGIN" and not initial and not challenge:
            return client.initial_response() or b""
        return client.respond(challenge)

    first = client.initial_response() if initial else None
    return asyncio.run(log_in(machine(client.name, b"B"), first, converse, directory, "192.0.2.1"))


@pytest.mark.parametrize("initial", [True, False])
@pytest.mark.parametrize("offer", ["PLAIN", "LOGIN", "SCRAM-SHA-256-PLUS"])
def test_every_mechanism_from_client_to_account(offer: str, initial: bool) -> None:
    client = choose_mechanism([offer.lower()], "alice", "secret", nonce="cnonce", channel_binding=b"B")
    assert client is not None
    assert run(client, Directory(), initial) == ALICE
    assert client.complete
    wrong = choose_mechanism([offer], "alice", "Secret", nonce="cnonce", channel_binding=b"B")
    assert wrong is not None
    assert isinstance(run(wrong, Directory(), initial), Denied)


def test_client_prefers_the_strongest() -> None:
    def best(offered: list[str], binding: bytes | None) -> str:
        client = choose_mechanism(offered, "a", "b", nonce="n", channel_binding=binding)
        return client.name if client else ""

    everything = ["LOGIN", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "GSSAPI"]
    assert best(everything, b"B") == "SCRAM-SHA-256-PLUS"
    assert best(everything, None) == "SCRAM-SHA-256"
    assert best(["PLAIN", "LOGIN"], None) == "PLAIN"
    assert best(["LOGIN"], None) == "LOGIN"
    assert best(["SCRAM-SHA-256-PLUS"], None) == ""
    assert best([], None) == ""


def test_scram_tells_the_directory_how_it_ended() -> None:
    directory = Directory()
    for password in ("secret", "wrong"):
        client = choose_mechanism(
            ["SCRAM-SHA-256-PLUS"], "alice", password, nonce="cnonce", channel_binding=b"B"
        )
        assert client is not None
        run(client, directory)
    assert directory.asked == [("succeeded", "alice", "192.0.2.1"), ("failed", "alice", "192.0.2.1")]


def test_locked_out_before_the_secret_is_told() -> None:
    client = choose_mechanism(["SCRAM-SHA-256-PLUS"], "alice", "secret", nonce="cnonce", channel_binding=b"B")
    assert client is not None
    assert run(client, Directory(Denied(True, "Too many failures"))) == Denied(True, "Too many failures")


@pytest.mark.parametrize(
    ("authzid", "fine"), [("", True), ("alice", True), ("ALICE@example.org", True), ("bob", False)]
)
def test_nobody_acts_as_somebody_else(authzid: str, fine: bool) -> None:
    async def converse(challenge: bytes) -> bytes:
        raise AssertionError

    message = authzid.encode() + b"\0alice\0secret"
    result = asyncio.run(log_in(machine("PLAIN"), message, converse, Directory(), "192.0.2.1"))
    assert (result == ALICE) is fine


def test_cancelled_and_broken_lines_pass_through() -> None:
    async def converse(challenge: bytes) -> bytes:
        return decode_response(b"*")

    with pytest.raises(Cancelled):
        asyncio.run(log_in(machine("LOGIN"), None, converse, Directory(), "192.0.2.1"))


def test_clients_refuse_more_questions_than_they_have_answers() -> None:
    login = LoginClient("alice", "secret")
    assert (login.respond(b""), login.respond(b"")) == (b"alice", b"secret")
    with pytest.raises(ServerFault):
        login.respond(b"")
    with pytest.raises(ServerFault):
        PlainClient("alice", "secret").respond(b"more?")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(["PLAIN", "LOGIN"]))
def test_no_response_raises(response: bytes, name: str) -> None:
    step = machine(name).start(response)
    assert isinstance(step, Challenge | VerifyPassword | Failure)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_base64_round_trip(data: bytes) -> None:
    assert decode_response(base64.b64encode(data)) == data


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="QUE=+/*-_ ", max_size=12))
def test_base64_takes_nothing_else(text: str) -> None:
    try:
        decoded = decode_response(text.encode())
    except (InvalidResponse, Cancelled):
        return
    assert len(base64.b64encode(decoded)) == len(text)
