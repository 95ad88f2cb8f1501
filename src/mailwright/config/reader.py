"""TOML -> `Config`. All mistakes are told at once, each with its line and the right word if one is near."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import ipaddress
import math
import re
import tomllib
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeVar

from mailwright.base.domain import InvalidDomain, is_address, to_ascii
from mailwright.base.limits import Limits
from mailwright.config.locate import Key, key_lines, line_of
from mailwright.config.settings import LIMITS, Address, Config, Queue, Route, Store
from mailwright.queue.routes import DIRECT

T = TypeVar("T")

_SIZES: Final = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_TIMES: Final = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PROXY: Final = re.compile(r"socks5://(?:[^@/\s]+@)?(?:[^@/:\s]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}/?")
_MX: Final = re.compile(r"\[mx:(.*)\]")
_OTHER_COMMANDS: Final = 10  # than RCPT that one message takes: EHLO, STARTTLS, AUTH, MAIL, DATA ...
_MAY_BE_ZERO: Final = ("memory_per_message", "smtp_min_data_rate", "imap_messages", "imap_notifications")
MAX_PORT: Final = 65_535
_MOST: Final = 2**63 - 1  # what a database counts to
_QUANTITY: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)")


class Problem(NamedTuple):
    """One mistake in a file; `line` is 0 when it concerns the file as a whole."""

    line: int
    text: str


class ConfigError(Exception):
    """A configuration that cannot be used; `str()` has a line for each mistake: `file:line: what to do`."""

    def __init__(self, source: str, problems: list[Problem]) -> None:
        self.source = source
        self.problems = sorted(problems)
        super().__init__("\n".join(_describe(source, problem) for problem in self.problems))


class _Wrong(ValueError):
    """A value that does not fit; the text ends the sentence `<setting> `."""


def load(path: Path) -> Config:
    """The configuration in the file at `path`; relative paths in it start from its folder.

    Raises ConfigError.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin with a mark
    except FileNotFoundError:
        advice = "there is no such file; `mailwright init` writes one, --config names another"
        raise ConfigError(str(path), [Problem(0, advice)]) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else f"it is not in UTF-8 ({error})"
        raise ConfigError(str(path), [Problem(0, f"cannot be read: {why}")]) from error
    return parse(text, source=str(path), folder=path.resolve().parent)


def parse(text: str, source: str = "configuration", folder: Path | None = None) -> Config:
    """The configuration that `text` says. Raises ConfigError."""
    try:
        table = tomllib.loads(text)
    except RecursionError as error:
        raise ConfigError(source, [Problem(0, "is not valid TOML: it is nested too deeply")]) from error
    except ValueError as error:  # TOMLDecodeError, or Python's own about a number of thousands of digits
        found = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        what = str(error).split(" (at ")[0]
        place = f" at column {found[2]}" if found else ""
        line = int(found[1]) if found else text.count("\n") + 1
        raise ConfigError(source, [Problem(line, f"is not valid TOML{place}: {what}")]) from error
    reader = _Reader(key_lines(text), folder or Path.cwd())
    config = reader.table(Config, table, ())
    if not reader.problems:
        reader.check(config)
    if reader.problems:
        raise ConfigError(source, reader.problems)
    return dataclasses.replace(
        config,
        store=_from_folder(config.store, reader.folder),
        server=dataclasses.replace(config.server, hostname=_pattern(config.server.hostname)),
        queue=dataclasses.replace(config.queue, routes=tuple(map(_ascii_route, config.queue.routes))),
    )


class _Reader:
    def __init__(self, lines: dict[Key, int], folder: Path) -> None:
        self.lines = lines
        self.folder = folder
        self.problems: list[Problem] = []

    def wrong(self, key: Key, text: str) -> None:
        self.problems.append(Problem(line_of(self.lines, key), text))

    def table(self, kind: type[T], values: dict[str, Any], key: Key, base: T | None = None) -> T:
        """An object of the dataclass `kind`; what `values` leaves out is as in `base`, or the class's own."""
        hints = _hints(typing.cast(Any, kind))
        fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, kind))}
        given: dict[str, Any] = {}
        for name, value in values.items():
            here = (*key, name)
            if name not in fields:
                self.wrong(here, f"{_name(key)}unknown setting {name!r}{_suggest(name, value, fields, key)}")
                continue
            try:
                given[name] = self.value(hints[name], value, here, fields[name], base)
            except _Wrong as error:
                self.wrong(here, f"{_name(key)}{name} {error}")
        return dataclasses.replace(base, **given) if base is not None else kind(**given)  # type: ignore[type-var]

    def value(self, hint: Any, value: Any, key: Key, field: dataclasses.Field[Any], base: Any) -> Any:
        if dataclasses.is_dataclass(hint):
            if not isinstance(value, dict):
                raise _Wrong(f"is a section: write [{'.'.join(map(str, key))}] and its settings below")
            default = getattr(base, field.name) if base is not None else field.default
            return self.table(typing.cast(type[Any], hint), value, key, default)
        if typing.get_origin(hint) is tuple:
            return self.sequence(typing.get_args(hint)[0], value, key, field)
        if field.metadata.get("unit") or field.name in LIMITS:
            return _quantity(value, field.metadata.get("unit") or LIMITS[field.name][0], hint)
        return self.scalar(hint, value)

    def sequence(self, hint: Any, value: Any, key: Key, field: dataclasses.Field[Any]) -> tuple[Any, ...]:
        if not isinstance(value, list):
            if dataclasses.is_dataclass(hint):
                raise _Wrong(f"is a list of sections: write [[{'.'.join(map(str, key))}]]")
            raise _Wrong(f"must be a list, as in {field.name} = [{_toml(value)}]")
        if dataclasses.is_dataclass(hint):
            kind = typing.cast(type[Any], hint)
            if not all(isinstance(item, dict) for item in value):
                raise _Wrong(f"is a list of sections: write [[{'.'.join(map(str, key))}]]")
            return tuple(self.table(kind, item, (*key, place)) for place, item in enumerate(value))
        if unit := field.metadata.get("unit"):
            return tuple(_quantity(item, unit, hint) for item in value)
        return tuple(self.scalar(hint, item) for item in value)

    def scalar(self, hint: Any, value: Any) -> Any:
        if isinstance(hint, types.UnionType):
            kinds = [kind for kind in hint.__args__ if kind is not type(None)]
            return _network(value) if len(kinds) > 1 else self.scalar(kinds[0], value)
        if typing.get_origin(hint) is Literal:
            return _choice(value, typing.get_args(hint))
        if hint is Address:
            return _address(value)
        if hint is Path:
            if "\0" in _text(value):
                raise _Wrong("must not hold the character NUL")
            if not value:
                raise _Wrong("is empty: write a path, or leave it out for the default")
            return self.folder / value
        if hint is bool:
            if not isinstance(value, bool):
                raise _Wrong(f"must be true or false, not {_toml(value)}")
            return value
        if hint in (int, float):
            return _number(value, hint)
        return _text(value)

    def check(self, config: Config) -> None:
        """What single values cannot tell."""
        if config.server.hostname:
            self.domain(config.server.hostname, ("server", "hostname"))
        self.listeners(config)
        self.addresses(config.server.public_addresses, ("server", "public_addresses"))
        if postmaster := config.server.postmaster:
            local, _, domain = postmaster.rpartition("@")
            if not local:
                self.wrong(("server", "postmaster"), "[server] postmaster must be an address, name@domain")
            else:
                self.domain(domain, ("server", "postmaster"))
        self.addresses([server.host for server in config.dns.servers], ("dns", "servers"))
        if not all(server.port for server in config.dns.servers):
            self.wrong(("dns", "servers"), "[dns] servers must have the port on which they answer, mostly 53")
        if config.dns.timeout <= 0:
            self.wrong(("dns", "timeout"), "[dns] timeout must be more than 0")
        if "://" in config.store.database and not config.is_postgres:
            self.wrong(("store", "database"), "[store] database must be a path or postgresql://...")
        if not config.store.blobs:
            self.wrong(("store", "blobs"), '[store] blobs must be "database" or the path of a folder')
        if (config.tls.certificate is None) != (config.tls.key is None):
            self.wrong(
                ("tls",), "[tls] certificate and key go together: give both, or neither for a self-made one"
            )
        if len(config.delivery.separator) > 1 or config.delivery.separator in ("@", ".", '"'):
            self.wrong(
                ("delivery", "separator"), '[delivery] separator must be one character, such as "+" or "-"'
            )
        queue = config.queue
        if queue.warning_after >= queue.expire_after:
            self.wrong(("queue", "warning_after"), "[queue] warning_after must come before expire_after")
        if not queue.retries or min(queue.retries) < 1:
            self.wrong(
                ("queue", "retries"), "[queue] retries needs a wait or more, each of a second at least"
            )
        if queue.jitter >= 1:
            self.wrong(("queue", "jitter"), "[queue] jitter must be less than 1")
        self.way(queue, ("queue",))
        names = [route.name for route in queue.routes]
        for place, route in enumerate(queue.routes):
            self.route(route, ("queue", "routes", place))
            if route.name in names[:place]:
                self.wrong(("queue", "routes", place), f"[[queue.routes]] has {_toml(route.name)} twice")
        for name in ("port", "connections", "connections_per_destination", "messages_per_account"):
            if getattr(queue, name) <= 0:
                self.wrong(("queue", name), f"[queue] {name} must be more than 0")
        for name in LIMITS:
            if getattr(config.limits, name) <= 0 and name not in _MAY_BE_ZERO:
                self.wrong(("limits", name), f"[limits] {name} must be more than 0")
        least = config.limits.recipients + _OTHER_COMMANDS
        if config.limits.smtp_commands < least:
            text = f"must be {least} at least, as a message may have {config.limits.recipients} recipients"
            self.wrong(("limits", "smtp_commands"), f"[limits] smtp_commands {text}")

    def listeners(self, config: Config) -> None:
        """No two listen on one address; port 0 is any that is free."""
        taken: dict[Address, str] = {}
        for field in dataclasses.fields(config.listeners):
            for address in getattr(config.listeners, field.name).addresses:
                if address.port and address in taken:
                    where = "twice" if taken[address] == field.name else f"as {taken[address]} has"
                    text = f"[listeners.{field.name}] addresses has {address} {where}; give it another port"
                    self.wrong(("listeners", field.name, "addresses"), text)
                taken[address] = field.name

    def way(self, way: Queue | Route, key: Key) -> None:
        """What a route and the queue itself have in common."""
        self.addresses(way.sources, (*key, "sources"))
        if way.port > MAX_PORT:
            self.wrong((*key, "port"), f"{_name(key)}port is {way.port}, but ports end at {MAX_PORT}")
        if way.proxy and not _PROXY.fullmatch(way.proxy):
            self.wrong((*key, "proxy"), f'{_name(key)}proxy must be "socks5://[user:password@]host:port"')

    def addresses(self, given: Iterable[str], key: Key) -> None:
        for address in given:
            if not is_address(address):
                what = f'takes addresses such as "192.0.2.1", not {_toml(address)}'
                self.wrong(key, f"{_name(key[:-1])}{key[-1]} {what}")

    def route(self, route: Route, key: Key) -> None:
        self.way(route, key)
        if not route.name:
            self.wrong(key, "[[queue.routes]] needs a name")
        elif "@" in route.name or route.name == DIRECT:
            text = f'[queue.routes] name: a route is called anything without @, but not "{DIRECT}"'
            self.wrong((*key, "name"), f"{text}, which is mail without a route")
        if route.password and route.password_file:
            self.wrong((*key, "password_file"), "[[queue.routes]] takes password or password_file, not both")
        if route.username and route.tls in ("none", "may") and not route.implicit_tls:
            self.wrong((*key, "tls"), '[[queue.routes]] sends a password: set tls = "verify"')
        if route.protocol == "lmtp" and not route.hosts:
            self.wrong(key, "[[queue.routes]] needs hosts for LMTP")
        if route.password and not route.username:
            self.wrong((*key, "password"), "[[queue.routes]] has a password and no username to go with it")
        if route.helo:
            self.domain(route.helo, (*key, "helo"))
        if not route.domains:
            text = "[queue.routes] domains are none, so the route is never taken; leave it out for all"
            self.wrong((*key, "domains"), text)
        for domain in route.domains:
            if domain != "*":
                advice = f"write {_toml(domain.lstrip('*@'))}" if domain[0:1] in ("*", "@") else ""
                self.domain(domain.removeprefix("."), (*key, "domains"), advice)
        for host in route.hosts:
            if not is_address(host):
                name, _, port = host.rpartition(":")
                advice = f"write {_toml(name)}, and port = {port}" if port.isdecimal() else ""
                self.domain(_MX.sub(r"\1", host), (*key, "hosts"), advice)
        for sender in route.senders:
            _, at, domain = sender.rpartition("@")
            self.domain(domain, (*key, "senders"))
            if not at:
                takes = f'takes "user@{domain}" or "@{domain}", not {_toml(sender)}'
                self.wrong((*key, "senders"), f"[queue.routes] senders {takes}")

    def domain(self, name: str, key: Key, advice: str = "") -> None:
        try:
            to_ascii(name)
        except InvalidDomain as error:
            advice = advice or "write a name such as mail.example.org"
            self.wrong(key, f"{_name(key[:-1])}{key[-1]}: {error}; {advice}")


def _ascii_route(route: Route) -> Route:
    senders = [sender.rpartition("@") for sender in route.senders]
    return dataclasses.replace(
        route,
        domains=tuple(map(_pattern, route.domains)),
        senders=tuple(f"{local}{at}{to_ascii(domain)}" for local, at, domain in senders),
    )


def _pattern(domain: str) -> str:
    """A domain, or a pattern of a route, as it is on the wire."""
    name = domain.removeprefix(".")
    return domain if name in ("", "*") else domain[: len(domain) - len(name)] + to_ascii(name)


def _from_folder(store: Store, folder: Path) -> Store:
    database, blobs = store.database, store.blobs
    if database and "://" not in database:
        database = str(folder / database)
    if blobs != "database":
        blobs = str(folder / blobs)
    return Store(database, blobs)


@functools.cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _describe(source: str, problem: Problem) -> str:
    return f"{source}:{problem.line}: {problem.text}" if problem.line else f"{source}: {problem.text}"


def _name(key: Key) -> str:
    """`[limits] `, before a setting's name."""
    return f"[{'.'.join(str(part) for part in key if isinstance(part, str))}] " if key else ""


def _suggest(name: str, value: Any, known: Iterable[str], key: Key) -> str:
    if not isinstance(value, dict) and (home := _elsewhere(name)):
        return f"; it belongs to [{home}]"
    if near := difflib.get_close_matches(name, known, n=1):
        return f"; did you mean {near[0]!r}?"
    return f"; there are {', '.join(known)}" if key else f"; the sections are {', '.join(known)}"


def _elsewhere(name: str) -> str | None:
    for section in dataclasses.fields(Config):
        if name in _hints(_hints(Config)[section.name]):
            return section.name
    return None


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Wrong(f"must be text in quotes, not {_toml(value)}")
    return value


def _number(value: Any, hint: type[int] | type[float]) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | (float if hint is float else int)):
        raise _Wrong(f"must be a {'whole ' if hint is int else ''}number, not {_toml(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise _Wrong(f"must be a number, not {value}")
    if value < 0:
        raise _Wrong(f"must not be negative, but is {value}")
    return hint(_countable(value))


def _countable(value: float) -> int | float:
    if value > _MOST:
        raise _Wrong("is more than can be counted")
    return value


def _quantity(value: Any, unit: str, hint: type[int] | type[float]) -> int | float:
    if not isinstance(value, str) or not unit:
        return _number(value, hint)
    units, example = (_SIZES, "50 MiB") if unit == "octets" else (_TIMES, "4h")
    found = _QUANTITY.fullmatch(value.strip().lower())
    if not found or found[2] not in units:
        known = ", ".join(name for name in units if name)
        raise _Wrong(f'must be a number of {unit}, or text such as "{example}" ({known}), not {_toml(value)}')
    return hint(_countable(float(found[1]) * units[found[2]]))


def _choice(value: Any, choices: tuple[str, ...]) -> str:
    if value not in choices:
        near = difflib.get_close_matches(str(value).lower(), choices, n=1)
        hint = f"; did you mean {_toml(near[0])}?" if near else ""
        raise _Wrong(f"must be one of {', '.join(map(_toml, choices))}, not {_toml(value)}{hint}")
    return str(value)


def _network(value: Any) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(_text(value))
    except ValueError as error:
        raise _Wrong(f'must be a network such as "10.0.0.0/8": {error}') from error


def _address(value: Any) -> Address:
    host, colon, port = _text(value).rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isascii() or not port.isdigit() or not bare or (":" in bare and bare == host):
        raise _Wrong(f'must be "host:port" or "[IPv6]:port", not {_toml(value)}')
    if len(port) > 5 or int(port) > MAX_PORT:
        raise _Wrong(f"has port {port}, but ports end at {MAX_PORT}")
    return Address(bare, int(port))


assert set(LIMITS) == {field.name for field in dataclasses.fields(Limits)}, "each limit needs its meaning"
