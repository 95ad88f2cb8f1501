"""getmail misses the end of a program that ends before it waits for it, and then gives up after a minute."""

from __future__ import annotations

from pathlib import Path


def keeping(folder: Path) -> str:
    """The part of its settings that has each message kept in a file of the folder, by a program that lets it wait."""
    keep = f"cat > {folder}/$$; until grep -q State:.S /proc/$PPID/status; do sleep 0.1; done"
    return (
        "[destination]\ntype = MDA_external\nallow_root_commands = true\npath = /bin/sh\n"
        f'arguments = ("-c", "{keep}")\n'
    )
