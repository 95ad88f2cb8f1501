"""Listeners and streams: where bytes meet the network."""
