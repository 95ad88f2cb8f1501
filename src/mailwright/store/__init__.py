"""The mail semantics, written once as plain functions of a transaction, over SQLite and PostgreSQL."""
