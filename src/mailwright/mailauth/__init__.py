"""Proof of who sent a message, and by which road it may travel: DKIM, MTA-STS, DANE, TLS-RPT. Pure."""
