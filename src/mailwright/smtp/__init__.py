"""SMTP and LMTP: the server, and the machine of the client (RFC 5321, RFC 2033)."""
