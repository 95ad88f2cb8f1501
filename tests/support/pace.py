"""How fast the processor is, for tests that say what something may cost of it."""

from __future__ import annotations

from time import process_time


def slowness() -> float:
    """How many times as long as usual the processor takes just now, at least 1: it may be slow, or shared."""
    began = process_time()
    sum(range(4_000_000))
    return max(1.0, (process_time() - began) / 0.1)
