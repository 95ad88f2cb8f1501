"""SCRAM-SHA-256 against RFC 7677's example, scramp, our own client, and people who cheat."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import scramp
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.sasl.client import ScramClient, ServerFault
from mailwright.sasl.scram import ScramServer
from mailwright.sasl.secret import ScramSecret
from mailwright.sasl.steps import Challenge, Failure, NeedScramSecret, Success

BINDING = b"\x11" * 32
SECRET = ScramSecret.from_password("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)


def server(plus: bool = False, binding: bytes | None = None, nonce: str = "server-nonce") -> ScramServer:
    return ScramServer(plus, binding, nonce, b"server secret")


def test_example_of_rfc_7677_3() -> None:
    machine = server(nonce="%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
    assert machine.start(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO") == NeedScramSecret("user")
    assert machine.provide_secret(SECRET) == Challenge(
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    final = (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert machine.respond(final) == Challenge(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    assert machine.respond(b"") == Success("", "user")


def test_client_makes_the_example_of_rfc_7677_3() -> None:
    client = ScramClient("user", "pencil", "rOprNGfwEbeRWgbNEkqO", None, False)
    assert client.name == "SCRAM-SHA-256"
    assert client.initial_response() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    final = client.respond(
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    assert final.endswith(b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    assert not client.complete
    assert client.respond(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=") == b""
    assert client.complete


@pytest.mark.parametrize("password", ["pencil", "пароль", "I\u00adX", "\u2168 \uff21", "a\u00a0b"])
def test_scramp_as_client(password: str) -> None:
    peer = scramp.ScramClient(["SCRAM-SHA-256"], "user=,x", password)
    machine = server()
    assert machine.start(peer.get_client_first().encode()) == NeedScramSecret("user=,x")
    first = machine.provide_secret(ScramSecret.from_password(password, b"salt of sixteen!", 4096))
    assert isinstance(first, Challenge)
    peer.set_server_first(first.data.decode())
    final = machine.respond(peer.get_client_final().encode())
    assert isinstance(final, Challenge)
    peer.set_server_final(final.data.decode())
    assert machine.respond(b"") == Success("", "user=,x")


def scramp_server(password: str, **options: Any) -> Any:
    mechanism = scramp.ScramMechanism(
        "SCRAM-SHA-256-PLUS" if "channel_binding" in options else "SCRAM-SHA-256"
    )
    info = mechanism.make_auth_info(password)
    return mechanism.make_server(lambda username: info, **options)


@pytest.mark.parametrize("bound", [False, True])
def test_scramp_as_server(bound: bool) -> None:
    peer = scramp_server(
        "pencil", **({"channel_binding": ("tls-server-end-point", BINDING)} if bound else {})
    )
    client = ScramClient("user", "pencil", "cnonce", BINDING if bound else None, bound)
    initial = client.initial_response()
    assert initial is not None
    peer.set_client_first(initial.decode())
    peer.set_client_final(client.respond(peer.get_server_first().encode()).decode())
    assert client.respond(peer.get_server_final().encode()) == b""
    assert client.complete


def log_in(client: ScramClient, machine: ScramServer, secret: ScramSecret | None) -> object:
    step = machine.start(client.initial_response())
    assert isinstance(step, NeedScramSecret | Failure)
    if isinstance(step, Failure):
        return step
    step = machine.provide_secret(secret)
    while isinstance(step, Challenge):
        step = machine.respond(client.respond(step.data))
    return step


def test_channel_binding_of_both_sides() -> None:
    client = ScramClient("user", "pencil", "cnonce", BINDING, True)
    assert client.name == "SCRAM-SHA-256-PLUS"
    assert log_in(client, server(True, BINDING), SECRET) == Success("", "user")
    assert client.complete


def test_somebody_in_the_middle_is_seen_by_the_channel_binding() -> None:
    client = ScramClient("user", "pencil", "cnonce", b"\x22" * 32, True)
    step = log_in(client, server(True, BINDING), SECRET)
    assert isinstance(step, Failure)
    assert "channel binding does not match" in step.reason


def test_downgrade_is_seen_by_the_y_flag() -> None:
    client = ScramClient("user", "pencil", "cnonce", BINDING, plus_offered=False)
    assert client.initial_response() == b"y,,n=user,r=cnonce"
    step = log_in(client, server(False, BINDING), SECRET)
    assert isinstance(step, Failure)
    assert "tampered" in step.reason
    assert log_in(client, server(False, None), SECRET) == Success("", "user")


@pytest.mark.parametrize(
    ("plus", "first", "why"),
    [
        (True, b"n,,n=u,r=x", "needs channel binding"),
        (True, b"p=tls-unique,,n=u,r=x", "only the channel binding"),
        (False, b"p=tls-server-end-point,,n=u,r=x", "needs the -PLUS"),
        (False, b"n,,m=ext,n=u,r=x", "mandatory extensions"),
        (False, b"n,,n=u", "malformed"),
        (False, b"n,,r=x,n=u", "malformed"),
        (False, b"n,,n=,r=x", "user name"),
        (False, b"n,,n=u=,r=x", "user name"),
        (False, b"n,,n=a=2cb,r=x", "user name"),
        (False, b"n,,n=a\x07b,r=x", "user name"),
        (False, b"n,,n=u,r=", "nonce"),
        (False, b"n,,n=u,r=" + b"x" * 300, "nonce"),
        (False, b"n,b=u,n=u,r=x", "authorization identity"),
        (False, b"z,,n=u,r=x", "flag"),
        (False, b"p,,n=u,r=x", "flag"),
        (False, b"n,,n=\xff,r=x", "UTF-8"),
        (False, b"", "malformed"),
        (False, b"n,,n=" + b"u" * 5000 + b",r=x", "malformed"),
    ],
)
def test_bad_first_message(plus: bool, first: bytes, why: str) -> None:
    step = server(plus, BINDING if plus else None).start(first)
    assert isinstance(step, Failure)
    assert why in step.reason


@pytest.mark.parametrize(
    ("final", "why"),
    [
        (b"c=biws,r=cnonceserver-nonce,p=AAAA", "proof is malformed"),
        (b"c=biws,r=other,p=" + b"A" * 43 + b"=", "nonce"),
        (b"c=eSws,r=cnonceserver-nonce,p=" + b"A" * 43 + b"=", "channel binding"),
        (b"c=biws,r=cnonceserver-nonce,p=" + b"A" * 43 + b"=", "password is wrong"),
        (b"c=biws,r=cnonceserver-nonce", "malformed"),
        (b"c=bi!s,r=cnonceserver-nonce,p=AAAA", "base64"),
        (b"r=cnonceserver-nonce,c=biws,p=AAAA", "final message"),
        (b"", "malformed"),
        (b"c=biws,r=cnonceserver-nonce,p=\xff\xff", "base64"),
    ],
)
def test_bad_final_message(final: bytes, why: str) -> None:
    machine = server()
    machine.start(b"n,,n=user,r=cnonce")
    machine.provide_secret(SECRET)
    step = machine.respond(final)
    assert isinstance(step, Failure)
    assert why in step.reason
    assert step.username == "user"
    assert isinstance(machine.respond(b""), Failure)


def test_unknown_user_sees_the_same_salt_each_time_and_fails_only_at_the_end() -> None:
    challenges = []
    for _ in range(2):
        machine = server()
        machine.start(b"n,,n=nobody,r=cnonce")
        step = machine.provide_secret(None)
        assert isinstance(step, Challenge)
        challenges.append(step.data)
        client = ScramClient("nobody", "pencil", "cnonce", None, False)
        end = machine.respond(client.respond(step.data))
        assert end == Failure("the user name or the password is wrong", "nobody")
    assert challenges[0] == challenges[1]
    assert ScramSecret.fake("nobody", b"x").salt != ScramSecret.fake("someone", b"x").salt
    assert ScramSecret.fake("nobody", b"x").salt != ScramSecret.fake("nobody", b"y").salt


def test_the_fake_secret_cannot_be_proved() -> None:
    # Whoever learnt the fake stored key still fails: the machine remembers that nobody is there.
    machine = server()
    machine.start(b"n,,n=nobody,r=cnonce")
    machine.provide_secret(None)
    assert isinstance(machine.respond(b"c=biws,r=cnonceserver-nonce,p=" + b"A" * 43 + b"="), Failure)


@pytest.mark.parametrize(
    "challenge",
    [
        b"r=other,s=AAAA,i=4096",
        b"r=cnonce,s=AAAA,i=4096",
        b"r=cnonceX,s=AAAA,i=4095",
        b"r=cnonceX,s=AAAA,i=99999999999999999999",
        b"r=cnonceX,s=AAAA,i=-5000",
        b"r=cnonceX,s=*,i=4096",
        b"r=cnonceX",
        b"e=other-error",
        b"\xff",
    ],
)
def test_client_refuses_a_bad_server_first(challenge: bytes) -> None:
    client = ScramClient("user", "pencil", "cnonce", None, False)
    client.initial_response()
    with pytest.raises(ServerFault):
        client.respond(challenge)
    assert not client.complete


def test_client_refuses_a_server_that_does_not_know_the_password() -> None:
    client = ScramClient("user", "pencil", "cnonce", None, False)
    client.respond(b"r=cnonceX,s=AAAA,i=4096")
    with pytest.raises(ServerFault, match="signature"):
        client.respond(b"v=" + b"A" * 43 + b"=")
    assert not client.complete


def test_secret_is_the_one_that_scramp_makes() -> None:
    salt, stored_key, server_key, iterations = scramp.ScramMechanism("SCRAM-SHA-256").make_auth_info(
        "pencil", 4096, SECRET.salt
    )
    assert (salt, iterations, stored_key, server_key) == SECRET


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=80), min_size=1, max_size=4), st.booleans())
def test_no_input_raises(messages: list[bytes], known: bool) -> None:
    machine = server()
    step: object = machine.start(messages[0])
    for message in messages[1:]:
        if isinstance(step, NeedScramSecret):
            machine.provide_secret(SECRET if known else None)
        step = machine.respond(message)
    assert not isinstance(step, Success)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=30))
def test_any_user_name_gets_through_or_is_refused(name: str) -> None:
    message = b"n,,n=" + name.encode(errors="replace").replace(b"=", b"=3D").replace(b",", b"=2C") + b",r=x"
    step = server().start(message)
    assert isinstance(step, NeedScramSecret | Failure)
