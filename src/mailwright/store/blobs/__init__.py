"""Content-addressed, compressed, chunked: in the database, or on disk."""
