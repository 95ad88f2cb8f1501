"""`python -m mailwright`."""

from mailwright.cli import main

main()
