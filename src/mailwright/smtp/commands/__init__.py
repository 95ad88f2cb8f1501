"""The commands: one file each, or a few that belong together, and the table that binds them."""
