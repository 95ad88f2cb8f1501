"""Proving who one is, as challenge machines shared by SMTP, IMAP and POP3 (RFC 4422)."""
