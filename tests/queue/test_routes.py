from __future__ import annotations

import pytest

from mailwright.queue.routes import Route, Router

ROUTER = Router(
    (
        Route("lists", senders=("@lists.us.example",), sources=("192.0.2.9",)),
        Route("partner", domains=("partner.example", ".partner.example"), hosts=("[mx:hub.example]",)),
        Route("boss", domains=("c.example",), senders=("boss@us.example",), hosts=("vip.example",)),
        Route("store", domains=("local.example",), hosts=("127.0.0.1",), lmtp=True),
    )
)


@pytest.mark.parametrize(
    ("sender", "recipient", "destination"),
    [
        ("a@us.example", "b@B.example", "b.example"),
        ("a@us.example", "b@BÜCHER.example", "xn--bcher-kva.example"),
        ("a@lists.us.example", "b@b.example", "b.example@lists"),
        ("a@us.example", "b@sub.partner.example", "@partner"),
        ("a@us.example", "b@notpartner.example", "notpartner.example"),
        ("Boss@us.example", "b@c.example", "@boss"),
        ("a@us.example", "b@c.example", "c.example"),
        ("", "b@local.example", "@store"),
        ("a@us.example", "b@[192.0.2.1]", "[192.0.2.1]"),
        ("a@us.example", '"x@y"@b.example', "b.example"),
    ],
)
def test_the_first_route_that_fits(sender: str, recipient: str, destination: str) -> None:
    assert ROUTER.destination(sender, recipient) == destination


def test_a_destination_leads_back_to_its_route() -> None:
    assert ROUTER.route("@store")[0].service_port == 24
    assert ROUTER.route("b.example@lists") == (ROUTER.route("@lists")[0], "b.example")
    assert ROUTER.route("b.example")[0].hosts == ()
    with pytest.raises(KeyError):
        ROUTER.route("@gone")


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Route("x", password="secret"))
