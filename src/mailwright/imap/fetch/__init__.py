"""What FETCH sends, rendered from what the store has kept ready."""
