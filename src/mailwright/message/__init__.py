"""Messages as RFC 5322 and MIME describe them, and as the world really sends them."""
