"""DomainKeys Identified Mail (RFC 6376) with Ed25519 (RFC 8463)."""
