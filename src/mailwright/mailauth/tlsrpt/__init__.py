"""SMTP TLS Reporting (RFC 8460): telling domains how TLS to their servers went."""
