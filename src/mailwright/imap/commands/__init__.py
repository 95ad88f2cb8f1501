"""One file per command: how its arguments are parsed, and what it does. `table` lists them all."""
