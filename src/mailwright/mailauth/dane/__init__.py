"""DANE for SMTP (RFC 6698, RFC 7671, RFC 7672): a server's certificate checked against the DNS."""
