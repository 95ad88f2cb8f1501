"""The build hook: what it compiles, and what it says when it cannot."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("hatchling", reason="needs hatchling")


def load_hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hook = load_hook()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETTINGS = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]


def compiled() -> list[str]:
    found: list[str] = hook.find_modules(ROOT / "src", SETTINGS["compile"], SETTINGS["interpret"])
    return found


def test_all_rooms_that_are_pure_are_compiled_and_no_others() -> None:
    (pure,) = [
        contract["source_modules"]
        for contract in PROJECT["tool"]["importlinter"]["contracts"]
        if contract["name"].startswith("Pure rooms")
    ]
    patterns = [pattern.replace(".", "/") for pattern in pure]
    for module in compiled():
        path = Path(module).with_suffix("")
        homes = [path, *path.parents]
        assert any(home.match(pattern) for home in homes for pattern in patterns), module
    for pattern in patterns:
        found = [module for module in compiled() if any(home.match(pattern) for home in _homes(module))]
        assert found, pattern


def _homes(module: str) -> list[Path]:
    path = Path(module).with_suffix("")
    return [path, *path.parents]


def test_no_compiled_coroutine_waits_while_it_handles_an_exception() -> None:
    """mypyc keeps no exception for each coroutine: what others raise meanwhile would be mixed up with this one."""
    hot = hook.find_modules(ROOT / "src", SETTINGS["hot"], SETTINGS["interpret"])
    waits = [
        f"{module}:{node.lineno}"
        for module in [*compiled(), *hot]
        for handled in _handling(ast.parse((ROOT / "src" / module).read_text()))
        for node in ast.walk(handled)
        if isinstance(node, (ast.Await, ast.Yield, ast.AsyncFor, ast.AsyncWith))
    ]
    assert waits == []


def _handling(tree: ast.AST) -> Iterator[ast.stmt]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Try):
            yield from node.finalbody
            for handler in node.handlers:
                yield from handler.body


def test_each_pattern_is_in_use() -> None:
    optional = (
        "syntax.py",
        "responses.py",
        "client.py",
        "syntax/**/*.py",
        "responses/**/*.py",
        "client/**/*.py",
    )
    for pattern in [*SETTINGS["compile"], *SETTINGS["hot"]]:
        if not pattern.endswith(optional):
            assert hook.find_modules(ROOT / "src", [pattern], []), pattern


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("MAILWRIGHT_PURE", "1", "MAILWRIGHT_PURE=1 asked for it"),
        ("CC", "no-such-compiler", "apt install gcc"),
    ],
)
def test_an_obstacle_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert reason in hook.obstacle()


def test_missing_headers_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", sys.executable)
    monkeypatch.setattr(hook.sysconfig, "get_path", lambda name: str(tmp_path))
    assert "apt install python3-dev" in hook.obstacle()


def test_a_module_that_does_not_compile_is_a_reason_and_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    (source / "broken.py").write_text("def f() -> int:\n    return 'x'\n")
    reason = hook.compile_into(tmp_path / "out", source, ["broken.py"])
    assert "refused a module" in reason
    assert not (tmp_path / "out").exists()


def test_what_was_compiled_is_found_again_until_it_changes(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    first = hook.fingerprint(tmp_path, ["a.py"])
    assert hook.fingerprint(tmp_path, ["a.py"]) == first
    (tmp_path / "a.py").write_text("x = 2\n")
    assert hook.fingerprint(tmp_path, ["a.py"]) != first


def test_python_m_mailwright() -> None:
    command = [sys.executable, "-m", "mailwright", "version"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT / "src", check=True)
    assert done.stdout.startswith("Mailwright 0.")
