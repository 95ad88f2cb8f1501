"""Clock, limits and domain names: tiny, depends on nothing."""
