"""The words of SMTP: commands, paths and parameters (RFC 5321 4.1 and its extensions)."""
