"""The mechanisms of a client, for a smarthost that asks for AUTH."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final

from mailwright.sasl.saslprep import saslprep
from mailwright.sasl.scram import (
    CHANNEL_BINDING,
    MAX_NONCE,
    InvalidMessage,
    decode_base64,
    encode_base64,
    encode_name,
    parse_attributes,
)
from mailwright.sasl.secret import HASH, client_key, salted_password, server_key, stored_key, xor

MAX_ITERATIONS: Final = 2_000_000  # about half a second of PBKDF2; a server that asks for more gets nothing


class ServerFault(ValueError):
    """The server's challenge is wrong, or it could not prove that it knows the password: do not go on."""


class ClientMechanism:
    """One login on the client's side. `complete` must be true when the server says that it succeeded."""

    __slots__ = ("complete", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.complete = False

    def initial_response(self) -> bytes | None:
        """What goes with the AUTH command; None: nothing."""
        raise NotImplementedError

    def respond(self, challenge: bytes) -> bytes:
        """The answer to a challenge, both without base64. Raises ServerFault."""
        raise ServerFault("the server asked for more than the mechanism has")


class PlainClient(ClientMechanism):
    """RFC 4616."""

    __slots__ = ("_message",)

    def __init__(self, username: str, password: str) -> None:
        super().__init__("PLAIN")
        self._message = b"\0" + username.encode() + b"\0" + password.encode()
        self.complete = True

    def initial_response(self) -> bytes | None:
        return self._message


class LoginClient(ClientMechanism):
    """The name, then the password, whatever the prompts say."""

    __slots__ = ("_answers",)

    def __init__(self, username: str, password: str) -> None:
        super().__init__("LOGIN")
        self._answers = [password.encode(), username.encode()]

    def initial_response(self) -> bytes | None:
        return None

    def respond(self, challenge: bytes) -> bytes:
        if not self._answers:
            raise ServerFault("the server asked for more than a name and a password")
        self.complete = len(self._answers) == 1
        return self._answers.pop()


class ScramClient(ClientMechanism):
    """RFC 5802. `channel_binding` is the tls-server-end-point data; `plus_offered`: the server has -PLUS."""

    __slots__ = ("_bare", "_binding", "_header", "_nonce", "_password", "_signature", "_state")

    def __init__(
        self, username: str, password: str, nonce: str, channel_binding: bytes | None, plus_offered: bool
    ) -> None:
        plus = plus_offered and channel_binding is not None
        super().__init__("SCRAM-SHA-256-PLUS" if plus else "SCRAM-SHA-256")
        flag = f"p={CHANNEL_BINDING}" if plus else "n" if channel_binding is None else "y"
        self._header = f"{flag},,".encode()
        self._binding = (channel_binding or b"") if plus else b""
        self._password = password
        self._nonce = nonce
        self._bare = f"n={encode_name(saslprep(username))},r={nonce}".encode()
        self._signature = b""
        self._state = "first"

    def initial_response(self) -> bytes | None:
        return self._header + self._bare

    def respond(self, challenge: bytes) -> bytes:
        try:
            if self._state == "first" and not challenge:
                return self._header + self._bare  # the server did not take the initial response
            if self._state == "first":
                return self._final_message(challenge)
            if self._state == "final":
                self._check_signature(challenge)
                return b""
        except InvalidMessage as error:
            raise ServerFault(f"the server's SCRAM message is wrong: {error}") from error
        raise ServerFault("the server asked for more than the mechanism has")

    def _final_message(self, server_first: bytes) -> bytes:
        pairs = parse_attributes(server_first)
        if [name for name, _ in pairs[:3]] != ["r", "s", "i"]:
            raise InvalidMessage("it is malformed")
        nonce, salt, iterations = pairs[0][1], decode_base64(pairs[1][1]), pairs[2][1]
        if not nonce.startswith(self._nonce) or not len(self._nonce) < len(nonce) <= 2 * MAX_NONCE:
            raise InvalidMessage("the nonce does not continue ours")
        if (
            not (iterations.isascii() and iterations.isdigit())
            or not 4096 <= int(iterations[:9]) <= MAX_ITERATIONS
        ):
            raise InvalidMessage(f"the iteration count must be between 4096 and {MAX_ITERATIONS}")
        without_proof = f"c={encode_base64(self._header + self._binding)},r={nonce}".encode()
        auth_message = self._bare + b"," + server_first + b"," + without_proof
        salted = salted_password(self._password, salt, int(iterations))
        key = client_key(salted)
        proof = xor(key, hmac.digest(stored_key(key), auth_message, HASH))
        self._signature = hmac.digest(server_key(salted), auth_message, HASH)
        self._state = "final"
        return without_proof + b",p=" + encode_base64(proof).encode()

    def _check_signature(self, server_final: bytes) -> None:
        pairs = parse_attributes(server_final)
        if pairs[0][0] == "e":
            raise InvalidMessage(f"it says {pairs[0][1]}")
        if pairs[0][0] != "v" or not hmac.compare_digest(decode_base64(pairs[0][1]), self._signature):
            raise InvalidMessage("its signature does not prove that it knows the password")
        self._state = "done"
        self.complete = True


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9


def choose_mechanism(
    offered: Sequence[str], username: str, password: str, *, nonce: str, channel_binding: bytes | None
) -> ClientMechanism | None:
    """The strongest mechanism that both sides know; None when there is none.

    Whether a password may go in the clear the caller decides, and takes PLAIN and LOGIN out of `offered`.
    """
    names = {name.upper() for name in offered}
    plus = "SCRAM-SHA-256-PLUS" in names
    if "SCRAM-SHA-256" in names or (plus and channel_binding is not None):
        return ScramClient(username, password, nonce, channel_binding, plus)
    if "PLAIN" in names:
        return PlainClient(username, password)
    if "LOGIN" in names:
        return LoginClient(username, password)
    return None
