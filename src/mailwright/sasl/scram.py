"""SCRAM-SHA-256: the messages and the server's machine (RFC 5802, RFC 7677)."""

from __future__ import annotations

import hmac
from typing import Final, NamedTuple

from mailwright.sasl.saslprep import ProhibitedText, saslprep
from mailwright.sasl.secret import HASH, HASH_SIZE, ScramSecret, stored_key, xor
from mailwright.sasl.steps import Challenge, Failure, NeedScramSecret, ServerMechanism, Step, Success
from mailwright.sasl.wire import decode, encode

MAX_MESSAGE: Final = 2048  # octets; honest messages stay below 700
MAX_NONCE: Final = 256
CHANNEL_BINDING: Final = (
    "tls-server-end-point"  # RFC 5929 4, the one Python's ssl lets us make for every version
)


def encode_name(name: str) -> str:
    """A `saslname` (RFC 5802 7)."""
    return name.replace("=", "=3D").replace(",", "=2C")


def decode_name(text: str) -> str:
    """Raises InvalidMessage for a stray `=` or an empty name."""
    if not text or text.count("=") != text.count("=2C") + text.count("=3D"):
        raise InvalidMessage("the user name is malformed")
    return text.replace("=2C", ",").replace("=3D", "=")


class InvalidMessage(ValueError):
    """A SCRAM message that does not parse; the message says why."""


def parse_attributes(message: bytes) -> list[tuple[str, str]]:
    """`r=...,s=...` as pairs, in order. Raises InvalidMessage."""
    if len(message) > MAX_MESSAGE:
        raise InvalidMessage("the message is too long")
    try:
        text = message.decode()
    except UnicodeDecodeError:
        raise InvalidMessage("the message is not UTF-8") from None
    pairs: list[tuple[str, str]] = []
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or len(name) != 1 or not (name.isascii() and name.isalpha()) or "\0" in value:
            raise InvalidMessage("the message is malformed")
        pairs.append((name, value))
    return pairs


def decode_base64(text: str) -> bytes:
    """Raises InvalidMessage."""
    try:
        return decode(text.encode())
    except ValueError:
        raise InvalidMessage("a value is not valid base64") from None


def encode_base64(data: bytes) -> str:
    return encode(data).decode()


class ClientFirst(NamedTuple):
    """The first message of a client (RFC 5802 7)."""

    gs2_header: bytes
    flag: str  # 'n' no channel binding, 'y' would but thinks we cannot, 'p' bound
    binding: str  # the type named after `p=`
    authzid: str
    bare: bytes
    username: str
    nonce: str


def parse_client_first(message: bytes) -> ClientFirst:
    """Raises InvalidMessage."""
    parts = message.split(b",", 2)
    if len(parts) < 3 or len(message) > MAX_MESSAGE:
        raise InvalidMessage("the first message is malformed")
    try:
        flag, _, binding = parts[0].decode("ascii").partition("=")
        authzid = parts[1].decode()
    except UnicodeDecodeError:
        raise InvalidMessage("the message is not UTF-8") from None
    if flag not in ("n", "y", "p") or (flag == "p") != bool(binding):
        raise InvalidMessage("the channel binding flag is malformed")
    if authzid:
        if not authzid.startswith("a="):
            raise InvalidMessage("the authorization identity is malformed")
        authzid = decode_name(authzid[2:])
    bare = parts[2]
    pairs = parse_attributes(bare)
    if pairs[0][0] == "m":
        raise InvalidMessage("mandatory extensions are not supported")
    if len(pairs) < 2 or pairs[0][0] != "n" or pairs[1][0] != "r":
        raise InvalidMessage("the first message is malformed")
    nonce = pairs[1][1]
    if not 0 < len(nonce) <= MAX_NONCE or not (nonce.isascii() and nonce.isprintable()):
        raise InvalidMessage("the nonce is malformed")
    header = parts[0] + b"," + parts[1] + b","
    return ClientFirst(header, flag, binding, authzid, bare, decode_name(pairs[0][1]), nonce)


class ScramServer(ServerMechanism):
    """The server's side of SCRAM-SHA-256 and, with `plus`, of SCRAM-SHA-256-PLUS.

    `channel_binding` is the tls-server-end-point data, None without TLS; `nonce` must be fresh and printable
    without a comma; `server_secret` makes the answers for unknown users.
    """

    __slots__ = (
        "_auth_message",
        "_channel_binding",
        "_first",
        "_known",
        "_nonce",
        "_plus",
        "_secret",
        "_server_secret",
        "_state",
        "_username",
    )

    def __init__(self, plus: bool, channel_binding: bytes | None, nonce: str, server_secret: bytes) -> None:
        self._plus = plus
        self._channel_binding = channel_binding
        self._nonce = nonce
        self._server_secret = server_secret
        self._state = "first"
        self._first: ClientFirst | None = None
        self._username = ""
        self._secret: ScramSecret | None = None
        self._known = False
        self._auth_message = b""

    def respond(self, response: bytes) -> Step:
        try:
            if self._state == "first":
                return self._receive_first(response)
            if self._state == "final":
                return self._receive_final(response)
            if self._state == "end" and self._first is not None and not response:
                self._state = "done"
                return Success(self._first.authzid, self._username)
        except InvalidMessage as error:
            self._state = "done"
            return Failure(str(error), self._username)
        self._state = "done"
        return Failure("a response came that was not asked for", self._username)

    def provide_secret(self, secret: ScramSecret | None) -> Step:
        first = self._first
        if self._state != "secret" or first is None:
            return Failure("no secret was asked for")
        self._known = secret is not None
        self._secret = secret or ScramSecret.fake(self._username, self._server_secret)
        self._nonce = first.nonce + self._nonce
        salt = encode_base64(self._secret.salt)
        server_first = f"r={self._nonce},s={salt},i={self._secret.iterations}".encode()
        self._auth_message = first.bare + b"," + server_first
        self._state = "final"
        return Challenge(server_first)

    def _receive_first(self, message: bytes) -> Step:
        first = parse_client_first(message)
        if self._plus:
            if first.flag != "p":
                raise InvalidMessage("the -PLUS mechanism needs channel binding")
            if first.binding != CHANNEL_BINDING:
                raise InvalidMessage(f"only the channel binding {CHANNEL_BINDING} is supported")
        elif first.flag == "p":
            raise InvalidMessage("channel binding needs the -PLUS mechanism")
        elif first.flag == "y" and self._channel_binding is not None:
            # We did offer -PLUS, so somebody took it out of the list (RFC 5802 6).
            raise InvalidMessage("the list of mechanisms was tampered with on its way")
        try:
            self._username = saslprep(first.username)
        except ProhibitedText as error:
            raise InvalidMessage(f"the user name is malformed: {error}") from None
        self._first = first
        self._state = "secret"
        return NeedScramSecret(self._username)

    def _receive_final(self, message: bytes) -> Step:
        first, secret = self._first, self._secret
        if first is None or secret is None:
            raise InvalidMessage("the exchange is out of order")
        without_proof, found, proof_text = message.rpartition(b",p=")
        pairs = parse_attributes(without_proof)
        if not found or len(pairs) < 2 or pairs[0][0] != "c" or pairs[1][0] != "r":
            raise InvalidMessage("the final message is malformed")
        self._check_binding(first, decode_base64(pairs[0][1]))
        if not hmac.compare_digest(pairs[1][1].encode(), self._nonce.encode()):
            raise InvalidMessage("the nonce does not match")
        proof = decode_base64(proof_text.decode("latin-1"))
        if len(proof) != HASH_SIZE:
            raise InvalidMessage("the proof is malformed")
        auth_message = self._auth_message + b"," + without_proof
        key = xor(proof, hmac.digest(secret.stored_key, auth_message, HASH))
        if not hmac.compare_digest(stored_key(key), secret.stored_key) or not self._known:
            self._state = "done"
            return Failure("the user name or the password is wrong", self._username)
        self._state = "end"
        signature = hmac.digest(secret.server_key, auth_message, HASH)
        return Challenge(b"v=" + encode_base64(signature).encode())

    def _check_binding(self, first: ClientFirst, sent: bytes) -> None:
        expected = first.gs2_header + (self._channel_binding or b"" if self._plus else b"")
        if not hmac.compare_digest(sent, expected):
            raise InvalidMessage(
                "the channel binding does not match: something on the way opens the TLS connection"
            )
