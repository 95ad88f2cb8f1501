"""Names to records: the contract (`api`), the helpers over it (`lookup`), a stub resolver, a mock."""
