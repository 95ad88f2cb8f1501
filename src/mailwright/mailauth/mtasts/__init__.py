"""SMTP MTA Strict Transport Security (RFC 8461): what a domain promises about its servers' TLS."""
