-- Over PostgreSQL: the processes that claim mail for sending, and the server on which each holds the lock that tells
-- that it lives (`store/db/presence.py`). A lock that is missing on another server tells nothing.

@postgres CREATE TABLE presences (
  name TEXT PRIMARY KEY,
  server TEXT NOT NULL
);
