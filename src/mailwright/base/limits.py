"""What a peer may cost us. Each number is a default that the configuration can change."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds for one peer or one message. Sizes in octets, times in seconds."""

    # Messages
    message_size: int = 50 * 1024 * 1024  # SIZE and APPENDLIMIT
    recipients: int = 1000  # RFC 5321 4.5.3.1.8 asks for 100 at least
    memory_per_message: int = 256 * 1024  # above this a message on its way in goes to a temporary file

    # Connections
    connections: int = 10_000
    connections_per_address: int = 100
    read_ahead: int = 64 * 1024  # what is read from a peer before it is consumed
    write_ahead: int = 256 * 1024  # what is written to a peer before it is taken

    # SMTP
    smtp_command_line: int = 4096  # RFC 5321 4.5.3.1.4 and its extensions; AUTH asks for 12288 (RFC 4954 4)
    smtp_auth_line: int = 12_288
    smtp_command_timeout: float = 300.0  # RFC 5321 4.5.3.2.7
    smtp_data_timeout: float = 180.0  # RFC 5321 4.5.3.2.5 (per chunk)
    smtp_min_data_rate: int = 500  # octets a second, averaged from the start of DATA, after the first minute
    smtp_errors: int = 20
    smtp_commands: int = 2000  # between messages
    smtp_transactions: int = 1000  # in one connection

    # IMAP and POP3
    imap_line: int = 64 * 1024
    imap_literal: int = 64 * 1024  # outside APPEND
    imap_idle_timeout: float = 1800.0  # RFC 3501 5.4
    imap_notifications: int = 10_000  # changes that NOTIFY tells at once (RFC 5465 5.8)
    imap_messages: int = 0  # that one command works on (RFC 9738); 0: any number
    imap_login_timeout: float = 60.0
    pop3_line: int = 255  # RFC 2449 4; UTF8 and AUTH may need more
    pop3_idle_timeout: float = 600.0  # RFC 1939 3
    bad_commands: int = 20

    # Logins
    login_failures: int = 10  # per account and per address, until the lock-out
    login_lockout: float = 900.0
