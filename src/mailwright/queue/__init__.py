"""The outbound queue: what is to be sent, when, by which way, and what became of it."""
