"""The command grammar of RFC 3501 and RFC 9051, as values; pure."""
