"""One function for each command; `table` tells when each may be used."""
