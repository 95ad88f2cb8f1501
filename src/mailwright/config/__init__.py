"""TOML -> frozen dataclasses, with the line and a suggestion for each mistake."""

from mailwright.config.reader import ConfigError, Problem, load, parse
from mailwright.config.settings import (
    DKIM,
    DNS,
    TLS,
    Address,
    Auth,
    Config,
    Delivery,
    Listener,
    Listeners,
    Log,
    Network,
    Queue,
    Route,
    Server,
    Store,
)

__all__ = [
    "DKIM",
    "DNS",
    "TLS",
    "Address",
    "Auth",
    "Config",
    "ConfigError",
    "Delivery",
    "Listener",
    "Listeners",
    "Log",
    "Network",
    "Problem",
    "Queue",
    "Route",
    "Server",
    "Store",
    "load",
    "parse",
]
