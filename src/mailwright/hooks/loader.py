"""From the names of modules to the hooks in them."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailwright.hooks.api import Subscription


class BadHooks(Exception):
    """A module of hooks cannot be used; the text says which, why, and what to do."""


@dataclass(frozen=True)
class Hook:
    """One function for one event. `name` is what the record and the log call it."""

    name: str
    function: Callable[[Any], Any]
    to: Subscription
    is_async: bool


def load(modules: Sequence[str], folder: Path | None = None) -> tuple[Hook, ...]:
    """The hooks of all modules, in their order; `folder` is where Python looks for them first. Raises BadHooks."""
    if folder is not None and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return tuple(hook for name in modules for hook in _load(name))


def _load(name: str) -> list[Hook]:
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:  # whatever code of others does, a script that ends itself too
        where = "" if isinstance(error, ModuleNotFoundError) else f" {type(error).__name__}:"
        raise BadHooks(
            f"[hooks] modules: {name} cannot be imported:{where} {error}; "
            "mend it, or set [hooks] directory to the folder that has it"
        ) from error
    found = [
        Hook(f"{name}.{function.__name__}", function, to, inspect.iscoroutinefunction(function))
        for function in vars(module).values()
        if getattr(function, "__module__", "") == name
        for to in getattr(function, "mailwright_hooks", ())
    ]
    if not found:
        raise BadHooks(f"[hooks] modules: {name} has no function with `@on(...)`; see docs/hooks.md")
    return found
