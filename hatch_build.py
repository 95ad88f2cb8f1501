"""Compiles the pure rooms with mypyc when a wheel is built; where that cannot be, the wheel is plain Python.

Which modules: `compile` below `[tool.hatch.build.targets.wheel.hooks.custom]` in pyproject.toml.
MAILWRIGHT_PURE=1 asks for plain Python; MAILWRIGHT_COMPILED=1 makes it an error not to compile.
`mailwright version` tells which it became, and why.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TIMEOUT = 600.0


class CompileHook(BuildHookInterface[Any]):
    """Adds the compiled modules to the wheel, beside their sources."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        return [] if obstacle() else ["mypy>=1.19", "setuptools>=75"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        self.work = Path(tempfile.mkdtemp(prefix="mailwright-build-"))
        modules = find_modules(
            Path(self.root) / "src", self.config["compile"], self.config.get("interpret", [])
        )
        reason = obstacle() or self.compile(modules, build_data)
        if reason and os.environ.get("MAILWRIGHT_COMPILED") == "1":
            raise RuntimeError(f"MAILWRIGHT_COMPILED=1, but {reason}")
        self.app.display_info(f"Plain Python: {reason}" if reason else f"Compiled {len(modules)} modules")
        record = self.work / "build.json"
        record.write_text(json.dumps({"compiled": [] if reason else modules, "reason": reason}))
        build_data["force_include"][str(record)] = "mailwright/build.json"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "work"):
            shutil.rmtree(self.work, ignore_errors=True)

    def compile(self, modules: list[str], build_data: dict[str, Any]) -> str:
        """Compile into the work folder; the reason why it could not be done, or ''."""
        tree = self.work / "tree"
        shutil.copytree(Path(self.root) / "src", tree, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        command = [sys.executable, str(Path(__file__).resolve()), str(tree), *modules]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"mypyc did not finish: {error}"
        if done.returncode:
            self.app.display_error((done.stdout + done.stderr)[-8000:])
            return (
                "mypyc or the C compiler refused a module (the messages stand above; pip shows them with -v)"
            )
        for built in sorted(tree.rglob("*.so")):
            build_data["force_include"][str(built)] = str(built.relative_to(tree))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        return ""


def obstacle() -> str:
    """Why this machine cannot compile, or ''."""
    if os.environ.get("MAILWRIGHT_PURE") == "1":
        return "MAILWRIGHT_PURE=1 asked for it"
    if sys.implementation.name != "cpython":
        return f"mypyc compiles for CPython, not for {sys.implementation.name}"
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if not shutil.which(compiler):
        return f"no C compiler ({compiler}) was found; on Debian and Ubuntu: apt install gcc"
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return "Python's header files are missing; on Debian and Ubuntu: apt install python3-dev"
    return ""


def find_modules(source: Path, patterns: list[str], excluded: list[str]) -> list[str]:
    """The files, relative to `source`, that match a pattern and none of the excluded ones, in order."""
    found = {path for pattern in patterns for path in source.glob(pattern)}
    found -= {path for pattern in excluded for path in source.glob(pattern)}
    return sorted(str(path.relative_to(source)) for path in found if path.suffix == ".py")


def compile_tree(tree: Path, modules: list[str]) -> None:
    """Compile the modules in place. Exits with a message when mypyc or the C compiler fails."""
    from concurrent.futures import ThreadPoolExecutor

    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    os.chdir(tree)
    # The errors of imports that only the installed package has do not matter here: CI runs mypy --strict.
    flags = ["--ignore-missing-imports", "--no-color-output"]
    extensions = mypycify(
        [*flags, *modules],
        opt_level="2",
        debug_level="0",
        multi_file=True,
        group_name="mailwright_rooms",
        verbose=False,
    )
    command = build_ext(Distribution({"name": "mailwright", "ext_modules": extensions}))
    command.inplace = True
    command.build_temp = command.build_lib = str(tree.parent / "objects")
    command.finalize_options()

    # setuptools compiles the many C files of one extension one after another; a pool uses all cores.
    def compile_in_parallel(self: Any, sources: list[str], **options: Any) -> list[str]:
        single = type(self).compile
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            parts = list(pool.map(lambda source: single(self, [source], **options), sources))
        return [name for part in parts for name in part]

    original = command.build_extension

    def build_extension(extension: Any) -> None:
        compiler = command.compiler
        compiler.compile = lambda sources, **options: compile_in_parallel(compiler, sources, **options)
        original(extension)

    command.build_extension = build_extension
    command.run()


if __name__ == "__main__":
    compile_tree(Path(sys.argv[1]), sys.argv[2:])
