"""Measures Mailwright beside Postfix and Dovecot, in one run, on the same machine and the same mail."""

from __future__ import annotations

import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(_ROOT / "tests"), str(_ROOT / "src")]  # support.demo; the source, when nothing is installed
