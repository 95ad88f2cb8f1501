"""Domains, accounts, aliases, credentials: who has an address here, and who may use it."""
