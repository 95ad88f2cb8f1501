"""Measures Mailwright beside Postfix and Dovecot, in one run, on the same machine and the same mail."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))  # support.demo starts the server
