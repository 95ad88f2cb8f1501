"""Fails when a test was skipped, and says which and why: `no_skips.py REPORT.xml`."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET

skipped = []
for case in ET.parse(sys.argv[1]).iter("testcase"):  # noqa: S314
    for mark in case.iter("skipped"):
        if mark.get("type") != "pytest.xfail":
            skipped.append(f"{case.get('classname')}::{case.get('name')}: {mark.get('message')}")
# The shared vectors lie beside the repository, not in it.
skipped = [line for line in skipped if "MAILWRIGHT_VECTORS" not in line]
if skipped:
    sys.exit("\n".join(["Skipped, so not proved:", *skipped]))
