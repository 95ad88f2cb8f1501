"""Measures Mailwright beside Postfix and Dovecot, in one run, on the same machine and the same mail."""
