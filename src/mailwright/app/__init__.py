"""The composition root: the only place that builds objects and wires them."""

from mailwright.app.server import App, open_store

__all__ = ["App", "open_store"]
