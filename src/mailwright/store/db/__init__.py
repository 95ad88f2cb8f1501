"""Drivers and dialects: the only place that knows which database it is."""
