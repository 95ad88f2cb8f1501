"""Compiles the pure rooms with mypyc when a wheel is built; where that cannot be, the wheel is plain Python.

Which modules: `compile` below `[tool.hatch.build.targets.wheel.hooks.custom]` in pyproject.toml.
MAILWRIGHT_PURE=1 asks for plain Python; MAILWRIGHT_COMPILED=1 makes it an error not to compile.
`mailwright version` tells which it became, and why.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TIMEOUT = 1800.0  # seconds: small machines are slow at it


class CompileHook(BuildHookInterface[Any]):
    """Adds the compiled modules to the wheel, beside their sources."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        return [] if obstacle() else ["mypy>=1.19", "setuptools>=75"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        source = Path(self.root) / "src"
        modules = find_modules(
            source, [*self.config["compile"], *self.config.get("hot", [])], self.config.get("interpret", [])
        )
        reason, folder = obstacle(), Path(self.root) / "build" / f"compiled-{fingerprint(source, modules)}"
        if not reason:
            reason = compile_into(folder, source, modules)
        if reason and os.environ.get("MAILWRIGHT_COMPILED") == "1":
            raise RuntimeError(f"MAILWRIGHT_COMPILED=1, but {reason}")
        if not reason:
            for built in sorted(folder.rglob("*.so")):
                build_data["force_include"][str(built)] = str(built.relative_to(folder))
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
        self.app.display_info(f"Plain Python: {reason}" if reason else f"Compiled {len(modules)} modules")
        handle, name = tempfile.mkstemp(suffix=".json")
        with os.fdopen(handle, "w", encoding="utf-8") as record:
            json.dump({"compiled": [] if reason else modules, "reason": reason}, record)
        self.record = Path(name)
        self.record.chmod(0o644)
        build_data["force_include"][name] = "mailwright/build.json"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "record"):
            self.record.unlink(missing_ok=True)


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


def fingerprint(source: Path, modules: list[str]) -> str:
    """Stands for what is compiled, and for whom: pip asks twice, and most changes are elsewhere."""
    digest = hashlib.sha256(f"{sys.version} {platform.machine()} {os.environ.get('CFLAGS')}".encode())
    for path in [Path(__file__), *(source / module for module in modules)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def compile_into(folder: Path, source: Path, modules: list[str]) -> str:
    """Compile the modules and leave what comes of them in `folder`; the reason why it could not be done, or ''."""
    if folder.exists():
        return ""
    with tempfile.TemporaryDirectory(prefix="mailwright-build-") as work:
        tree = Path(work) / "tree"
        shutil.copytree(source, tree, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        command = [sys.executable, str(Path(__file__).resolve()), str(tree), *modules]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"mypyc did not finish: {error}"
        if done.returncode:
            said = (done.stdout + done.stderr).strip()[-2000:]
            return f"mypyc or the C compiler refused a module:\n{said}"
        partial = folder.with_name(f"{folder.name}.{os.getpid()}")
        for built in tree.rglob("*.so"):
            target = partial / built.relative_to(tree)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(built, target)
        partial.rename(folder)
    return ""


def compile_tree(tree: Path, modules: list[str]) -> None:
    """Compile the modules in place. Exits with a message when mypyc or the C compiler fails."""
    from concurrent.futures import ThreadPoolExecutor

    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    os.chdir(tree)
    # What needs the package's dependencies, which are not there yet, looks wrong and does not matter here, nor do
    # modules that are only imported: CI runs mypy --strict.
    flags = ["--ignore-missing-imports", "--follow-imports=silent", "--no-color-output"]
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
